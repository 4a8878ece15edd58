"""A finished run as other tools take it: its masks and its network. A format of masks is one line in `MASK_FORMATS`.

sources.py       which masks: of a run, predictions, a folder of predict
job.py           photos that go along, masks that fit them, objects in masks
polygons.py      masks as polygons that fill to the same masks
tables.py        tables and JSON written bit by bit
network.py       the network as one graph; onnx.py, int8.py: as files; delivery.py: checked, then there
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from coarse2fine.config import MaskExportConfig
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.export.coco import write_coco, write_panoptic
from coarse2fine.export.cvat import write_cvat
from coarse2fine.export.label_studio import write_label_studio
from coarse2fine.export.mask_export import Job
from coarse2fine.export.mask_sources import Sample, open_source
from coarse2fine.export.voc import write_voc
from coarse2fine.export.yolo import write_yolo
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.device import count_cores


def _write_hugging_face(job: Job) -> None:
    from coarse2fine.export.hugging_face import write_hugging_face  # pyarrow is an extra

    write_hugging_face(job)


MASK_FORMATS: dict[str, Callable[[Job], None]] = {
    "voc": write_voc,
    "coco": write_coco,
    "coco-panoptic": write_panoptic,
    "yolo": write_yolo,
    "labelstudio": write_label_studio,
    "cvat": write_cvat,
    "huggingface": _write_hugging_face,
}

_NEEDS = {"coco": ("pycocotools",), "yolo": ("yaml",), "huggingface": ("pyarrow", "yaml")}


def export_masks(
    what: Path | str,
    out: Path | str,
    kind: str,
    config: MaskExportConfig | None = None,
    photos: Sequence[Path | str] = (),
    console: Console | None = None,
) -> int:
    """Write masks, and the photos they belong to, for another tool; memory does not grow with their number.

    Args:
        what: A run folder, or a folder that ``predict`` wrote.
        out: A new or empty folder; it is there whole or not at all.
        kind: One of `MASK_FORMATS`.
        config: Which masks, and how.
        photos: Files, folders, glob patterns to predict on instead.
        console: Shows progress, and tells what was left out; none: tells only that.

    Returns:
        How many photos were exported.

    Raises:
        ConfigError: Settings cannot work, or a library of the extra ``export`` is missing.
        DataError: There are no masks, a mask does not fit its photo, or the folder cannot be written.
    """
    config, console, out = config or MaskExportConfig(), console or Console(quiet=True), Path(out)
    threads = count_cores()
    _check(kind, config, out)
    source = open_source(Path(what), photos, config, kind, threads, out)
    prefix = config.image_prefix
    if prefix is None:
        prefix = f"/data/local-files/?d={out.absolute().name}/images/"
    count = _Count()
    with _written_as_a_whole(out) as folder:
        samples = console.track(count.watch(source.samples), source.total, f"export to {kind}")
        job = Job(folder, samples, source.classes, config, source.title, prefix, threads, source.has_quality)
        MASK_FORMATS[kind](job)
    for remark in source.remarks:
        console.warn(remark)
    for what_is_lost, times in job.losses.items():
        console.warn(f"{what_is_lost} in {times} photos: {kind} has no place for them")
    return count.value


class _Count:
    """How many passed."""

    value = 0

    def watch(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        for sample in samples:
            self.value += 1
            yield sample


def _check(kind: str, config: MaskExportConfig, out: Path) -> None:
    if kind not in MASK_FORMATS:
        raise ConfigError(f"The format must be one of {', '.join(MASK_FORMATS)}, found '{kind}'.")
    missing = [library for library in _NEEDS.get(kind, ()) if find_spec(library) is None]
    if missing:
        raise ConfigError(f"--format {kind} needs {' and '.join(missing)}: pip install 'coarse2fine[export]'.")
    if config.polygons and kind != "coco":
        raise ConfigError(f"Only --format coco has a choice of polygons, found {kind}; leave out --polygons.")
    if config.instances == "part" and kind in ("voc", "huggingface"):
        raise ConfigError(f"A mask of {kind} holds classes and no instances; leave out --instances.")
    if config.image_prefix is not None and kind != "labelstudio":
        raise ConfigError(f"Only --format labelstudio has addresses of photos, found {kind}; leave out --image-prefix.")
    if kind == "huggingface" and config.images == "link":
        raise ConfigError("A folder for huggingface holds the photos themselves: choose --images copy or none.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} must be a new or empty folder, but there is something; choose another --out.")


@contextmanager
def _written_as_a_whole(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block has ended well, and is removed otherwise."""
    half = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.tmp")
    try:
        half.mkdir(parents=True)
        yield half
        if out.exists():
            out.rmdir()
        half.replace(out)
    except OSError as error:
        raise DataError(
            f"The export could not be written to {out} ({error}); make room or choose another --out."
        ) from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
