"""Find the masks to export: those of a finished run, those that ``predict`` wrote, or new predictions on photos."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from coarse2fine.config import ClassNames, MaskExportConfig, load_config
from coarse2fine.data import list_photos
from coarse2fine.data.photo_files import is_photo
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.evaluation.quality_table import TABLE, read_scores
from coarse2fine.export.validation_split import DEFAULT_SHARE, choose_validation
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.runtime.files import MISSING, read_json_as, size_and_time
from coarse2fine.runtime.names import AnyPath, SafeName, path_inside
from coarse2fine.store.photos import find_data, read_photos, read_record
from coarse2fine.store.records import read_reasons
from coarse2fine.store.run import Run
from coarse2fine.store.stages import is_complete
from coarse2fine.types import Mask, Photo


@dataclass(frozen=True)
class PhotoMask:
    """A photo and a function that reads its mask.

    Attributes:
        name: Unique name of the photo, a relative path without a suffix.
        path: The photo file.
        read_mask: Returns the mask: class indices, shape (H, W).
        labels: Class indices of a training photo, empty if it shows none of the classes. None for other photos.
        score: Quality score of the mask, 0 to 1. None if it has none.
        mask_file: The file that ``read_mask`` reads; None for a mask in memory.
    """

    name: str
    path: Path
    read_mask: Callable[[], Mask]
    labels: tuple[int, ...] | None = None
    score: float | None = None
    mask_file: Path | None = None


@dataclass(frozen=True)
class MaskSource:
    """The photos and masks of an export.

    Attributes:
        title: Name of the source for people, such as ``pets, round-3/enhanced``.
        classes: Class names by index.
        photos: The photos with their masks. The iterator can be consumed once.
        names: Names of the photos, in the same order. Predictions skip photos that cannot be read.
        validation: Names of the photos for validation.
        warnings: Which photos are not exported, and why. Predictions add to it while ``photos`` is consumed.
        has_scores: Whether any mask has a quality score.
    """

    title: str
    classes: tuple[str, ...]
    photos: Iterator[PhotoMask]
    names: tuple[str, ...]
    warnings: list[str] = field(default_factory=list)
    validation: frozenset[str] = frozenset()
    has_scores: bool = False


def open_mask_source(
    source: Path,
    photos: Sequence[Path | str],
    config: MaskExportConfig,
    include_left_out: bool,
    include_negatives: bool,
    threads: int,
    out: Path,
) -> MaskSource:
    """Find the photos and masks to export.

    Args:
        source: A run folder, or a folder that ``predict`` wrote. With ``photos`` also a ``model`` folder or an
            ``.onnx`` file.
        photos: Files, folders or patterns of photos to predict on. If empty, existing masks are exported. If the source
            is a folder that ``predict`` wrote, the places where its photos may lie.
        config: Settings of the export.
        include_left_out: Export photos that were left out of training, too.
        include_negatives: Export photos of a run that show none of the classes, too.
        threads: Number of photos that are decoded at the same time.
        out: The folder of the export. It must not lie among the photos of a run.

    Raises:
        ConfigError: A setting does not fit the source.
        DataError: There are no masks.
    """
    is_folder_of_predict = (source / "found.csv").exists() and not (source / "config.toml").exists()
    is_predicted = bool(photos) or is_folder_of_predict
    if is_predicted and (config.round is not None or config.masks != "enhanced" or config.left_out is not None):
        raise ConfigError("Predictions have no rounds and no filter: leave out --round, --masks and --left-out.")
    if photos and not is_folder_of_predict:
        if config.min_quality is not None:
            raise ConfigError("New predictions have no quality scores: leave out --min-quality or --photos.")
        return _predict(source, photos, config, threads, out)
    if is_folder_of_predict:
        found = _open_predictions(source, photos, config)
    elif Run(source).config.exists():
        found = _open_run(Run(source), config, include_left_out, include_negatives, out)
    else:
        raise DataError(
            f"{source} must be a run folder of fit or a folder that predict wrote. To predict with a model folder or "
            "an .onnx file, add --photos PHOTOS."
        )
    if not found.names:
        raise DataError(f"No photo of {source} can be exported: {'; '.join(found.warnings) or 'it has no photos'}.")
    return found


def _open_run(
    run: Run, config: MaskExportConfig, include_left_out: bool, include_negatives: bool, out: Path
) -> MaskSource:
    folder, number = _find_masks(run, config)
    dataset = read_photos(run)
    data = find_data(run, read_record(run))
    if out.resolve().is_relative_to(data.resolve()):
        raise ConfigError(
            f"The export must lie outside the folder of the photos, because exported photos would be read as training "
            f"photos. {out} lies in {data}; choose another --out."
        )
    chosen = [photo for photo in dataset.photos if photo.labels or include_negatives]
    photos = [_open_mask(run, folder, photo) for photo in chosen]
    warnings: list[str] = []
    has_reasons = number or run.filter_file(0).exists()  # runs of earlier versions have no file of round 0
    reasons = read_reasons(run.filter_file(number)) if has_reasons and not include_left_out else {}
    exported = [photo for photo in photos if not reasons.get(photo.name)]
    if len(exported) < len(photos):
        warnings.append(
            f"{len(photos) - len(exported)} of {len(photos)} photos are not exported, because they were left out of "
            f"training (reasons: {run.filter_file(number)}); --left-out exports them, too"
        )
    title = f"{run.root.resolve().name}, {folder.relative_to(run.root).as_posix()}"
    return _add_scores(title, dataset.classes, exported, warnings, run.root, config)


def _open_mask(run: Run, folder: Path, photo: Photo) -> PhotoMask:
    path = path_inside(run.root, mask_path(folder.relative_to(run.root), photo.name).as_posix())
    return PhotoMask(photo.name, photo.path, partial(read_mask, path), photo.labels, mask_file=path)


def _find_masks(run: Run, config: MaskExportConfig) -> tuple[Path, int]:
    """Return the folder of the chosen masks and the number of their round."""
    rounds = run.count_rounds(load_config(run.config).most_rounds)
    number = rounds if config.round is None else config.round
    if config.masks == "coarse":
        folder, number = run.coarse, 0
    elif config.masks == "refined" and not number:
        raise ConfigError("Round 0 has no refined masks: with --round 0, choose --masks enhanced or coarse.")
    else:
        folder = run.enhanced(number) if config.masks == "enhanced" else run.refined(number)
    if number > rounds:
        raise ConfigError(f"--round must be from 0 to {rounds}, the last round of {run.root}; found {number}.")
    if not is_complete(folder):
        raise DataError(f"{folder} is not finished. Run fit until it ends, or choose an earlier --round.")
    return folder, number


class _Origin(BaseModel):
    """Content of ``origin.json``, which predict writes.

    Attributes:
        folder: Absolute path of the folder of predictions.
        photos: Stamp of each photo (:func:`~coarse2fine.runtime.files.size_and_time`) by name.
    """

    folder: AnyPath | None = None
    photos: dict[str, str] = {}


def _open_predictions(folder: Path, roots: Sequence[Path | str], config: MaskExportConfig) -> MaskSource:
    file = folder / "photos.json"
    if not file.exists():
        raise DataError(f"{file} with the paths of the photos is missing. Run predict again.")
    listed = read_json_as(file, dict[SafeName, AnyPath], "the path of each photo by its name, as predict writes it")
    classes = read_json_as(folder / "classes.json", ClassNames, "the names of 2 to 255 classes, as predict writes them")
    masks = {name: path_inside(folder, f"masks/{name}.png") for name in listed}
    place = _find_photo_places(folder, roots)
    photos = [
        PhotoMask(name, place(name, Path(path)), partial(read_mask, masks[name]), mask_file=masks[name])
        for name, path in listed.items()
        if masks[name].exists()
    ]
    warnings: list[str] = []
    if len(photos) < len(listed):
        warnings.append(f"{len(listed) - len(photos)} of {len(listed)} photos have no mask: predict skipped them")
    title = f"{folder.resolve().name}, masks"
    return _add_scores(title, classes, photos, warnings, folder, config)


def _find_photo_places(folder: Path, roots: Sequence[Path | str]) -> Callable[[str, Path], Path]:
    """Return a function that finds and checks the file of a photo of a folder of predictions.

    The folder may come from a stranger, and its ``photos.json`` may name any file of this machine. A photo is used only
    if it lies in the folder or in one of ``roots``, or if its size and time are those that predict recorded, which a
    stranger cannot know. If the folder and its photos were moved together, a photo is found by its path relative to the
    folder; if the photos were moved to one of the roots, by its name.
    """
    origin_file = folder / "origin.json"
    origin = read_json_as(origin_file, _Origin, "what predict wrote") if origin_file.exists() else _Origin()
    given = [Path(root) for root in roots]
    real_roots = [root.resolve() for root in [folder, *given] if root.exists()]
    patterns = [root for root in given if not root.exists()]
    matched = {photo.resolve() for photo in list_photos(patterns)} if patterns else set()

    def is_allowed(path: Path, name: str) -> bool:
        real = path.resolve()
        is_inside = real in matched or any(real.is_relative_to(root) for root in real_roots)
        return is_inside or origin.photos.get(name) == size_and_time(path) != MISSING

    def find(name: str, recorded: Path) -> Path:
        moved = [folder / os.path.relpath(recorded, origin.folder)] if origin.folder else []
        moved += [root / f"{name}{recorded.suffix}" for root in given]
        path = next((path for path in (recorded, *moved) if path.is_file()), recorded)
        if not is_allowed(path, name):
            if not path.exists():
                raise DataError(
                    f"The photo {recorded} of {folder} does not exist. If it was moved, add --photos with its folder; "
                    "or run predict again."
                )
            root = _find_photo_root(path, name)
            raise DataError(
                f"{folder / 'photos.json'} names the photo {path}, which was not recognized: it lies outside of "
                f"{folder}, and its size and time are not those that predict recorded. If the photo is yours and the "
                f"mask is right, add --photos {root or 'with the folder of your photos'}; or run predict again."
            )
        return path

    return find


def _find_photo_root(path: Path, name: str) -> Path | None:
    """Return the folder below which a photo has its name, to be suggested as a root.

    Names and paths are those of a stranger. So that no message proposes to open a whole disk or a folder without
    photos, it is None unless the path is that of a photo file that ends in the name, and the folder has a parent.
    """
    parts = Path(name).parts
    if not is_photo(path) or path.with_suffix("").parts[-len(parts) :] != parts:
        return None
    root = path.parents[len(parts) - 1]
    is_inside = path.is_file() and path.resolve().is_relative_to(root.resolve())
    return root if is_inside and root.resolve() != root.parent.resolve() else None


def _add_scores(
    title: str,
    classes: tuple[str, ...],
    photos: Sequence[PhotoMask],
    warnings: list[str],
    folder: Path,
    config: MaskExportConfig,
) -> MaskSource:
    """Add the scores of ``folder / quality.csv``, drop photos below ``config.min_quality``, and choose a validation."""
    path, minimum = folder / TABLE, config.min_quality
    scores = read_scores(path)
    if minimum is not None and not scores:
        raise ConfigError(f"--min-quality needs quality scores, but {path} is missing or empty.")
    scored = [replace(photo, score=scores.get(photo.name)) for photo in photos]
    good = [photo for photo in scored if minimum is None or _is_good(photo, minimum)]
    if len(good) < len(photos):
        warnings.append(
            f"{len(photos) - len(good)} of {len(photos)} photos have no quality score of at least {minimum:g} and are "
            "not exported"
        )
    names = tuple(photo.name for photo in good)
    trust = [1.0 if photo.labels == () else photo.score for photo in good]  # the mask of a negative is right
    validation = choose_validation(names, trust, _validation_share(config))
    has_scores = any(photo.score is not None for photo in good)
    return MaskSource(title, classes, iter(good), names, warnings, validation, has_scores)


def _validation_share(config: MaskExportConfig) -> float:
    return DEFAULT_SHARE if config.val_share is None else config.val_share


def _is_good(photo: PhotoMask, minimum: float) -> bool:
    """Return whether the score of a photo reaches the minimum; a negative has no score, and its mask is right."""
    return photo.labels == () or (photo.score is not None and photo.score >= minimum)


def _predict(
    model: Path, photos: Sequence[Path | str], config: MaskExportConfig, threads: int, out: Path
) -> MaskSource:
    from coarse2fine.data.class_folders import names_below_common_folder
    from coarse2fine.data.reader import ReadOptions
    from coarse2fine.inference.files import predict_files
    from coarse2fine.inference.load import load_model

    segmenter = load_model(model)
    paths = list_photos(photos, apart_from=out)
    names = names_below_common_folder(paths, photos)
    warnings: list[str] = []

    def skip(index: int, reason: str) -> None:
        warnings.append(f"skipped: {paths[index]}: {reason}")

    def predict() -> Iterator[PhotoMask]:
        options = ReadOptions(batch_size=config.batch, threads=threads, on_skipped=skip)
        for found in predict_files(segmenter, paths, options):
            yield PhotoMask(names[found.index], paths[found.index], found.mask)
        if len(warnings) == len(paths):
            raise DataError(f"None of the {len(paths)} photos can be read. The first: {warnings[0]}.")

    title, validation = (
        f"{model.resolve().name}, predictions",
        choose_validation(names, [None] * len(names), _validation_share(config)),
    )
    return MaskSource(title, segmenter.classes, predict(), tuple(names), warnings, validation)
