"""Which masks are exported: those of a finished run, predictions on any photos, or what ``predict`` wrote."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from coarse2fine.config import MaskExportConfig, load_config
from coarse2fine.data import list_photos
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.evaluation.quality_table import read_scores
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.runtime.files import read_json
from coarse2fine.store.photos import read_photos
from coarse2fine.store.run import Run
from coarse2fine.types import Mask

MENDING = ("labelstudio", "cvat")


@dataclass(frozen=True)
class Sample:
    """One photo, and how to get its mask.

    Attributes:
        name: Of the photo, without ending, unique.
        photo: Where it lies.
        read: Gives its mask, shape (H, W), class indices.
        label: Its one class, for training photos.
        quality: Score of its mask, 0 to 1, where there is one.
    """

    name: str
    photo: Path
    read: Callable[[], Mask]
    label: int | None = None
    quality: float | None = None


@dataclass(frozen=True)
class Source:
    """What is exported.

    Attributes:
        title: Where the masks come from, for people.
        classes: Names by index.
        samples: The photos, one after the other; to be taken once.
        total: How many there are.
        remarks: What was left out, for people; filled while samples are taken.
        has_quality: Whether any mask has a score.
    """

    title: str
    classes: tuple[str, ...]
    samples: Iterator[Sample]
    total: int
    remarks: list[str] = field(default_factory=list)
    has_quality: bool = False


def open_source(
    what: Path, photos: Sequence[Path | str], config: MaskExportConfig, kind: str, threads: int, out: Path
) -> Source:
    """Find what is to be exported.

    Args:
        what: A run folder; with ``photos`` also the model folder in it, or an ``.onnx`` file; or the folder that
            ``predict`` wrote.
        photos: To predict on; none: the masks that are there.
        config: Which masks.
        kind: The format.
        threads: Photos decoded at the same time.
        out: The folder of the results, in case it lies among the photos.

    Raises:
        DataError: There are no such masks.
        ConfigError: Probabilities are asked for, but there are none.
    """
    is_predicted = bool(photos) or (what / "found.csv").exists()
    if is_predicted and (config.round is not None or config.masks != "enhanced" or config.left_out is not None):
        raise ConfigError("Predictions have no rounds and no filter: leave out --round, --masks and --left-out.")
    if photos:
        if config.min_quality is not None:
            raise ConfigError("Predictions on photos have no score yet: leave out --min-quality, or --photos.")
        return _predict(what, photos, config.batch, threads, out)
    if is_predicted:
        source = _open_predictions(what, config)
    elif Run(what).config.exists():
        source = _open_run(Run(what), config, kind, out)
    else:
        raise DataError(
            f"{what} must be a run folder of fit or a folder that predict wrote; to predict with a model folder, add "
            "--photos PHOTOS."
        )
    if not source.total:
        raise DataError(f"No photo of {what} is left to export: {'; '.join(source.remarks) or 'it has none'}.")
    return source


def _open_run(run: Run, config: MaskExportConfig, kind: str, out: Path) -> Source:
    folder, number = _find_masks(run, config)
    dataset = read_photos(run)
    data = Path(read_json(run.photos)["data"])
    if out.resolve().is_relative_to(data.resolve()):
        raise ConfigError(
            f"The export must lie outside the photos, or it would count as photos, but {out} lies in {data}; choose "
            "another --out."
        )
    samples = [
        Sample(photo.name, photo.path, partial(read_mask, mask_path(folder, photo.name)), photo.label)
        for photo in dataset.photos
    ]
    remarks: list[str] = []
    with_left_out = kind in MENDING if config.left_out is None else config.left_out
    reasons = read_json(run.round(number) / "kept.json") if number and not with_left_out else {}
    kept = [sample for sample in samples if not reasons.get(sample.name)]
    if len(kept) < len(samples):
        remarks.append(
            f"{len(samples) - len(kept)} of {len(samples)} photos are not exported, because the filter left them out "
            f"(why: {run.round(number) / 'kept.json'}); --left-out True exports them, too"
        )
    scored = _score(kept, run.root / "quality.csv", config.min_quality, remarks)
    title = f"{run.root.resolve().name}, {folder.relative_to(run.root).as_posix()}"
    return _gather(title, dataset.classes, scored, remarks)


def _find_masks(run: Run, config: MaskExportConfig) -> tuple[Path, int]:
    rounds = load_config(run.config).rounds
    number = rounds if config.round is None else config.round
    if config.masks == "coarse":
        folder, number = run.coarse, 0
    elif config.masks == "refined" and not number:
        raise ConfigError(
            "Before the first round no masks are refined: with --round 0 take --masks enhanced or coarse."
        )
    else:
        folder = run.enhanced(number) if config.masks == "enhanced" else run.refined(number)
    if number > rounds:
        raise ConfigError(f"{run.root} has {rounds} rounds, so --round must be at most {rounds}, found {number}.")
    if not (folder / "done.json").exists():
        raise DataError(f"{folder} is not finished; let fit end first, or choose an earlier --round.")
    return folder, number


def _open_predictions(folder: Path, config: MaskExportConfig) -> Source:
    if not (folder / "photos.json").exists():
        raise DataError(f"{folder / 'photos.json'} is missing, which says where the photos lie; run predict again.")
    masks, classes = folder / "masks", tuple(read_json(folder / "classes.json"))
    listed = read_json(folder / "photos.json")
    samples = [
        Sample(name, Path(path), partial(read_mask, mask_path(masks, name)))
        for name, path in listed.items()
        if mask_path(masks, name).exists()
    ]
    remarks: list[str] = []
    if len(samples) < len(listed):
        remarks.append(f"{len(listed) - len(samples)} of {len(listed)} photos have no mask: predict left them out")
    scored = _score(samples, folder / "quality.csv", config.min_quality, remarks)
    return _gather(f"{folder.resolve().name}, masks", classes, scored, remarks)


def _gather(title: str, classes: tuple[str, ...], samples: Sequence[Sample], remarks: list[str]) -> Source:
    has_quality = any(sample.quality is not None for sample in samples)
    return Source(title, classes, iter(samples), len(samples), remarks, has_quality)


def _score(samples: Sequence[Sample], path: Path, least: float | None, remarks: list[str]) -> list[Sample]:
    quality = read_scores(path)
    if least is not None and not quality:
        raise ConfigError(f"--min-quality needs scores, but {path} (columns photo, class, score) is missing or empty.")
    scored = [replace(one, quality=quality.get(one.name)) for one in samples]
    if least is None:
        return scored
    good = [one for one in scored if one.quality is not None and one.quality >= least]
    if len(good) < len(scored):
        remarks.append(f"{len(scored) - len(good)} of {len(scored)} photos score below {least:g} and are not exported")
    return good


def _predict(what: Path, photos: Sequence[Path | str], batch: int, threads: int, out: Path) -> Source:
    from coarse2fine.data.class_folders import names_below_common_folder
    from coarse2fine.data.reader import ReadOptions
    from coarse2fine.inference.files import predict_files
    from coarse2fine.inference.load import load_model

    segmenter = load_model(what)
    paths = list_photos(photos, apart_from=out)
    names = names_below_common_folder(paths)
    remarks: list[str] = []

    def leave_out(index: int, reason: str) -> None:
        remarks.append(f"left out: {paths[index]}: {reason}")

    def samples() -> Iterator[Sample]:
        options = ReadOptions(batch_size=batch, threads=threads, on_skipped=leave_out)
        for drawn in predict_files(segmenter, paths, options):
            yield Sample(names[drawn.index], paths[drawn.index], drawn.mask)
        if len(remarks) == len(paths):
            raise DataError(f"None of the {len(paths)} photos can be read; the first {remarks[0]}.")

    return Source(f"{what.resolve().name}, predictions", segmenter.classes, samples(), len(paths), remarks)
