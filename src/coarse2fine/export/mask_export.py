"""Write the masks of a run, or predictions on any photos, in the file format of another tool."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from coarse2fine.config import MaskExportConfig
from coarse2fine.errors import ConfigError
from coarse2fine.export.coco import COCO, COCO_PANOPTIC
from coarse2fine.export.cvat import CVAT
from coarse2fine.export.hugging_face import HUGGING_FACE
from coarse2fine.export.image_mask_folders import LIGHTLY, ULTRALYTICS
from coarse2fine.export.label_studio import LABEL_STUDIO
from coarse2fine.export.mask_format import MaskExport, MaskFormat, flatten_names
from coarse2fine.export.mask_sources import open_mask_source
from coarse2fine.export.voc import VOC
from coarse2fine.export.yolo import YOLO
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.device import count_cores
from coarse2fine.runtime.extras import install_command
from coarse2fine.runtime.files import check_new_folder, write_new_folder

MASK_FORMATS: dict[str, MaskFormat] = {
    "voc": VOC,
    "coco": COCO,
    "coco-panoptic": COCO_PANOPTIC,
    "yolo": YOLO,
    "ultralytics": ULTRALYTICS,
    "lightly": LIGHTLY,
    "labelstudio": LABEL_STUDIO,
    "cvat": CVAT,
    "huggingface": HUGGING_FACE,
}
"""All mask formats by the name that ``--format`` takes."""


def export_masks(
    source: Path | str,
    out: Path | str,
    format: str,
    config: MaskExportConfig | None = None,
    photos: Sequence[Path | str] = (),
    quiet: bool = True,
) -> int:
    """Write masks and their photos in the format of another tool.

    Memory use does not grow with the number of photos.

    Args:
        source: A run folder, or a folder that ``predict`` wrote. With ``photos`` also a ``model`` folder or an
            ``.onnx`` file.
        out: A new or empty folder. It appears when all files are written; after an error it does not.
        format: A key of `MASK_FORMATS`, such as ``coco``.
        config: Settings of the export. Default: ``MaskExportConfig()``.
        photos: Photo files, folders or glob patterns. The network of ``source`` predicts their masks, and these are
            exported instead of the masks in ``source``. If ``source`` is a folder that ``predict`` wrote: where its
            photos are, if they were moved, changed or come from another machine.
        quiet: Print only warnings, such as photos that were not exported.

    Returns:
        The number of exported photos.

    Raises:
        ConfigError: The settings do not fit the format or the source, or a package of the extra ``export`` is missing.
        DataError: There are no masks, a mask does not fit its photo, or ``out`` cannot be written.
    """
    config, console, out = config or MaskExportConfig(), Console(quiet), Path(out)
    _check(format, config, out)
    mask_format, threads = MASK_FORMATS[format], count_cores()
    include_left_out = mask_format.for_correction if config.left_out is None else config.left_out
    masks = open_mask_source(
        Path(source), photos, config, include_left_out, not mask_format.for_correction, threads, out
    )
    prefix = config.image_prefix
    if prefix is None:
        prefix = f"/data/local-files/?d={out.absolute().name}/images/"
    names = flatten_names(masks.names) if mask_format.is_flat else {}
    with write_new_folder(out) as folder:
        tracked = replace(masks, photos=console.track(masks.photos, len(masks.names), f"export to {format}"))
        export = MaskExport(folder, tracked, config, prefix, threads, mask_format.not_shown, names)
        mask_format.write(export)
    for warning in masks.warnings:
        console.warn(warning)
    if mask_format.has_validation and config.val_share != 0 and not export.validation_written:
        console.warn("there is no photo for validation, so all photos are in the part train")
    if export.photos_with_ignored and not mask_format.keeps_ignored:
        console.warn(
            f"ignored pixels became background in {export.photos_with_ignored} photos: {format} cannot store them"
        )
    if export.photos_not_shown:
        console.warn(
            f"{export.photos_not_shown} photos are in a format that {format} cannot show "
            f"({', '.join(export.not_shown)}): choose --images copy, which writes them as PNG"
        )
    return export.photos_written


def _check(format: str, config: MaskExportConfig, out: Path) -> None:
    if format not in MASK_FORMATS:
        raise ConfigError(f"The format must be one of {', '.join(MASK_FORMATS)}, found '{format}'.")
    chosen = MASK_FORMATS[format]
    missing = [package for package in chosen.packages if find_spec(package) is None]
    if missing:
        raise ConfigError(f"--format {format} needs {' and '.join(missing)}: {install_command('export')}")
    if config.polygons and not chosen.has_polygons:
        raise ConfigError(f"The format {format} has no choice between polygons and run lengths; leave out --polygons.")
    if config.instances == "part" and not chosen.has_instances:
        raise ConfigError(f"A mask of the format {format} stores classes, not instances; leave out --instances.")
    if config.image_prefix is not None and not chosen.has_image_addresses:
        raise ConfigError(f"The format {format} stores no addresses of photos; leave out --image-prefix.")
    if config.val_share is not None and not chosen.has_validation:
        raise ConfigError(f"The format {format} has no part for validation; leave out --val-share.")
    if config.images == "link" and not chosen.has_links:
        raise ConfigError(f"The format {format} stores the photos in its own files; choose --images copy or none.")
    check_new_folder(out)
