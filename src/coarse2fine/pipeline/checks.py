"""Checks of data, settings and run folder, before any long computation starts."""

from collections.abc import Sequence
from pathlib import Path

from coarse2fine.coarse import check_method
from coarse2fine.config import FitConfig, dump_config
from coarse2fine.data import check_photos, open_dataset
from coarse2fine.data.archives import find_archives, unpack_photos
from coarse2fine.data.class_folders import clean_label
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.evaluation.ground_truth import GroundTruth, open_ground_truth
from coarse2fine.networks.build import build_network
from coarse2fine.pipeline.terminal_summary import show_start
from coarse2fine.pipeline.working_size import resolve_size
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import size_and_time, write_json, write_text
from coarse2fine.runtime.processes import find_world
from coarse2fine.store.lock import hold_folder
from coarse2fine.store.photos import hash_in, keep_usable, read_record, stamp_file, write_record
from coarse2fine.store.run import Run
from coarse2fine.training.loop import check_batch
from coarse2fine.types import Dataset, Photo, Skipped


def check_inputs(
    data: Path, run: Run, config: FitConfig, ground_truth_paths: Sequence[Path], negatives: Path | None = None
) -> tuple[Dataset, GroundTruth]:
    """List the data set, and check that settings, run folder and ground truth fit it. Writes nothing.

    Args:
        data: The photos with labels.
        run: The run folder.
        config: All settings.
        ground_truth_paths: Masks to measure with.
        negatives: Folder of photos without any of the classes.

    Returns:
        The listed photos, not yet decoded, and the ground truth to measure with.

    Raises:
        ConfigError: Settings contradict each other, or the network cannot be built.
        DataError: There are no photos, the ground truth does not fit, or the run folder belongs to another data set.
    """
    _check_settings(config)
    for folder in (data, negatives):
        if folder and folder.is_dir() and run.root.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"The run folder must lie outside the folder of photos, because its masks would count as photos, but "
                f"{run.root} lies in {folder}. Choose another --out."
            )
    listed = open_dataset(data, config.task == "classes", negatives)
    _check_run_folder(run, data, listed)
    ground_truth = open_ground_truth(ground_truth_paths, listed)
    build_network(config.network, len(listed.classes))
    return listed, ground_truth


def prepare_run_folder(
    data: Path, listed: Dataset, run: Run, config: FitConfig, context: Context, negatives: Path | None = None
) -> Dataset:
    """Decode every photo once, and write the photos, classes and settings of the run to its folder.

    Args:
        data: The photos with labels.
        listed: All photos, from :func:`check_inputs`.
        run: The run folder.
        config: All settings.
        context: Processes and console.
        negatives: Folder of photos without any of the classes.

    Returns:
        The usable photos.

    Raises:
        DataError: No photo with a label is usable.
    """
    if context.is_main:
        _check_every_photo(data, listed, run, config, context, negatives)
    context.barrier()
    dataset = keep_usable(listed, read_record(run))
    if not dataset.labeled:
        first = dataset.skipped[0]
        raise DataError(
            f"{data} must hold at least one usable photo, but has none. Skipped: {len(dataset.skipped)}. "
            f"The first: {first.path}: {first.reason}."
        )
    if context.is_main:
        write_json(run.classes, list(dataset.classes))
        write_text(run.config, dump_config(config))
        show_start(context.console, dataset, resolve_size(config, dataset.photos), data, run)
    return dataset


def _check_settings(config: FitConfig) -> None:
    check_method(config.coarse, allows_auto=True)
    check_batch(config.train.batch, find_world())
    network = config.network
    if (network.freeze_batch_norm or network.frozen_stages) and network.encoder_weights == "none":
        raise ConfigError(
            "An encoder can be frozen only if it has trained weights, but network.encoder_weights is none. Set it to "
            "imagenet or a safetensors file, or add --network.no-freeze-batch-norm --network.frozen-stages 0."
        )


def unpack_data(data: Path, run: Run, context: Context) -> Path:
    """Unpack photos that are given in archives into the run folder.

    Args:
        data: The photos with labels.
        run: The run folder.
        context: Processes and console.

    Returns:
        The unpacked data set, or ``data`` if it holds no archive.

    Raises:
        DataError: An archive cannot be unpacked, or the run folder holds other files.
        ConfigError: An archive is Parquet, and pyarrow is not installed.
    """
    archives = find_archives(data)
    if not archives:
        return data
    if context.is_main:
        if not run.photos.exists():
            _check_new(run)
        with hold_folder(run.root):
            unpack_photos(archives, run.unpacked, context.console)
    context.barrier()
    return unpack_photos(archives, run.unpacked, Console(quiet=True))


def _check_new(run: Run) -> None:
    others = [path for path in run.root.iterdir() if not path.name.startswith(".")] if run.root.exists() else []
    if any(path != run.unpacked for path in others):
        raise DataError(
            f"The run folder {run.root} must be new, empty, or from an earlier run, but holds other files. "
            "Choose another --out."
        )


def _check_run_folder(run: Run, data: Path, listed: Dataset) -> None:
    if not run.photos.exists():
        _check_new(run)
        return
    before = read_record(run)
    known = [photo for photo in listed.photos if before.stamp_of(photo) is not None]
    if before.lies_at(data):
        is_same = bool(known) or any(str(photo.path.absolute()) in before.skipped for photo in listed.photos)
    else:  # moved, mounted elsewhere or reached by a link
        is_same = len(known) == len(before.usable) and all(map(before.has_unchanged, known))
    if [*map(clean_label, before.classes)] != list(listed.classes) or not is_same:
        raise DataError(
            f"The run folder {run.root} belongs to another data set ({before.data} with the classes "
            f"{', '.join(before.classes[1:])}). Choose another --out for {data}. If these are its photos at another "
            "place, all of them must be there, with the same names and sizes."
        )


def _check_every_photo(
    data: Path, listed: Dataset, run: Run, config: FitConfig, context: Context, negatives: Path | None
) -> None:
    """Decode the photos that no earlier run has decoded, and write which ones are usable to ``photos.json``."""
    record = read_record(run) if run.photos.exists() else None
    before = record if record and record.max_megapixels == config.max_megapixels else None
    stamps: dict[str, str] = {}

    def is_known(photo: Photo) -> bool:
        old = before.stamp_of(photo) if before else None
        new = stamp_file(photo.path, old)
        if before and old and hash_in(old) is None and before.has_unchanged(photo):
            new = size_and_time(photo.path)  # runs of earlier versions count photos by size
        stamps[photo.name] = new
        return old is not None and (old == new or hash_in(old) == hash_in(new) is not None)

    checked = check_photos(listed.photos, config.max_megapixels, is_known)
    usable: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for skipped_row in listed.skipped:  # several rows of a table may name the same photo
        path = str(skipped_row.path)
        skipped[path] = f"{skipped[path]}; {skipped_row.reason}" if path in skipped else skipped_row.reason
    for item in context.console.track(checked, len(listed.photos), "checking photos"):
        if isinstance(item, Skipped):
            skipped[str(item.path.absolute())] = item.reason
        else:
            usable[item.name] = stamps[item.name]
    write_record(run, data, negatives, listed.classes, config.max_megapixels, usable, skipped)
