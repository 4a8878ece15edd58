"""Linear model of the features of an encoder: corrects the soft masks of a round by what all photos have in common."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from coarse2fine.config import FitConfig
from coarse2fine.corrections.review import describe_rejected
from coarse2fine.data.photos import read_image
from coarse2fine.enhance.linear_model import (
    FoldMoments,
    LinearModel,
    assign_folds,
    shares_of_mask,
    shares_of_soft,
)
from coarse2fine.enhance.pixel_features import CELL_PX, SIDE_PX, Features, extract_features
from coarse2fine.errors import DataError
from coarse2fine.masks.png import mask_path, read_mask, read_soft, write_soft
from coarse2fine.networks.backbone import build_encoder, find_mean_and_std
from coarse2fine.pipeline.job import FitJob, title_of
from coarse2fine.pipeline.mask_writer import list_missing
from coarse2fine.runtime.device import pick_device
from coarse2fine.runtime.files import check_regular_file, write_atomically
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.fingerprints import describe_settings
from coarse2fine.store.stages import Stage, run_stage
from coarse2fine.types import BACKGROUND, Image, Photo

MAX_PHOTOS = 1000
"""The model is fitted to about this many photos, an equal number of each class, at least `MIN_CLASS_PHOTOS`."""

MIN_CLASS_PHOTOS = 20

MIN_PHOTOS = 10
"""With fewer photos with a label there is no model.

With 2, 3 and 5 photos it lowered the IoU of soft masks by .086, .038 and .003; with 10 it raised it by .014 (random
subsets of voc-animals; docs/log.md, 2026-11-30).
"""

MAX_KEPT_BYTES = 2**29
"""Memory for the features that are kept from round to round: those of about 1,500 photos with 448 channels. Those of
further photos are computed again in every round."""

FEATURE_SETTINGS = ("network.encoder", "network.encoder_weights", "network.output_stride")
"""Settings that change the features."""


def run_linear_stage(job: FitJob, number: int, masks: Stage) -> Stage | None:
    """Write the soft masks of the linear model of a round, with the size of its grid of cells.

    Args:
        job: The run.
        number: The round; 0 corrects the coarse masks.
        masks: The stage that wrote the soft masks to correct.

    Returns:
        The stage; None if the settings do not use the model, or there are fewer than `MIN_PHOTOS` photos to fit it to.
    """
    accepted = [photo for photo in _list_accepted(job) if photo.labels]
    if not job.config.uses_linear_model(number) or len(accepted) < MIN_PHOTOS:
        return None
    settings = feature_settings(job.config) | describe_rejected(job.rejected)
    stage = Stage(job.run.linear(number), title_of(number, "linear model"), settings, (masks.key,))
    groups = [photo.labels[0] if photo.labels else BACKGROUND for photo in job.photos]
    folds = dict(zip([photo.name for photo in job.photos], assign_folds(groups), strict=True))

    def work() -> dict[str, object]:
        load_features = _prepare_loading(job)
        file = stage.folder / "model.safetensors"
        if job.context.is_main and not file.exists():
            _save(file, _fit(job, number, stage.title, folds, load_features))
        job.context.barrier()
        return {"written": _predict(job, stage, folds, _load(file), load_features)}

    run_stage(stage, job.context, work)
    return stage


def feature_settings(config: FitConfig) -> dict[str, object]:
    """Return the settings that change the features of the encoder."""
    described = describe_settings(config.network, "network")
    return {name: described[name] for name in FEATURE_SETTINGS}


def prepare_features(config: FitConfig) -> Callable[[Image], Features]:
    """Return a function from a photo to the features of the pretrained encoder, which all threads may call."""
    network, in_use = config.network, Lock()
    encoder = build_encoder(network.encoder, network.output_stride, network.encoder_weights).eval().to(pick_device())
    extract = partial(extract_features, encoder, mean_and_std=find_mean_and_std(network.encoder))

    def extract_one(image: Image) -> Features:
        with in_use:
            return extract(photo=image)

    return extract_one


def _prepare_loading(job: FitJob) -> Callable[[Photo], Features]:
    """Return a function from a photo to its features, which all threads may call; they are computed once per run."""
    extract, kept = prepare_features(job.config), job.features

    def load(photo: Photo) -> Features:
        features = kept.get(photo.name)
        if features is None:
            features = extract(read_image(photo.path, at_least_px=SIDE_PX)).astype(np.float16)
            largest = (SIDE_PX // CELL_PX) ** 2 * features.shape[-1] * features.itemsize  # of a square photo
            if (len(kept) + 1) * largest <= MAX_KEPT_BYTES:
                kept[photo.name] = features
        return features.astype(np.float32)

    return load


def choose_photos(photos: Sequence[Photo], most: int = MAX_PHOTOS) -> list[Photo]:
    """Choose the photos that the model is fitted to: of each class as many, at equal distances."""
    by_class: dict[int, list[Photo]] = {}
    for photo in photos:
        by_class.setdefault(photo.labels[0] if photo.labels else BACKGROUND, []).append(photo)
    of_class = max(MIN_CLASS_PHOTOS, most // len(by_class))
    return [photo for own in by_class.values() for photo in own[:: -(-len(own) // of_class)]]


def _list_accepted(job: FitJob) -> list[Photo]:
    """List the photos that no person rejected."""
    rejected = set(job.rejected)
    return [photo for photo in job.photos if photo.name not in rejected]


def _fit(
    job: FitJob, number: int, title: str, folds: dict[str, int], load_features: Callable[[Photo], Features]
) -> LinearModel:
    corrected, photos = {photo.name for photo in job.corrected}, choose_photos(_list_accepted(job))
    soft_folder, classes = job.run.soft_masks(number), len(job.dataset.classes)

    def load(photo: Photo) -> tuple[int, Features, Features]:
        features = load_features(photo)
        size = features.shape[0], features.shape[1]
        if photo.name in corrected:
            shares = shares_of_mask(read_mask(mask_path(job.run.corrected, photo.name)), classes, size)
        elif photo.labels:
            shares = shares_of_soft(read_soft(mask_path(soft_folder, photo.name)), photo.labels, classes, size)
        else:
            shares = shares_of_soft(features[..., 0], (), classes, size)
        return folds[photo.name], features, shares

    moments = FoldMoments()
    loaded: Iterator[tuple[int, Features, Features]] = map_threads(load, photos, job.context.threads)
    for fold, features, shares in job.context.console.track(loaded, len(photos), f"{title}, fitting"):
        moments.add(fold, features, shares)
    return moments.fit()


def _predict(
    job: FitJob, stage: Stage, folds: dict[str, int], model: LinearModel, load_features: Callable[[Photo], Features]
) -> int:
    """Write the missing soft masks, and return how many were missing."""
    corrected = {photo.name for photo in job.corrected}
    photos = [photo for photo in job.labeled if photo.name not in corrected]
    missing = len(list_missing(photos, stage.folder))
    job.context.barrier()  # no process writes a mask before all have counted
    mine = job.context.world.share(photos)
    todo = list_missing(mine, stage.folder)

    def write(photo: Photo) -> None:
        soft = model.predict(load_features(photo), photo.labels, folds[photo.name])
        write_soft(mask_path(stage.folder, photo.name), soft)

    done = map_threads(write, todo, job.context.threads)
    for _ in job.context.console.track(done, len(mine), stage.title, len(mine) - len(todo)):
        pass
    return missing


def _save(file: Path, model: LinearModel) -> None:
    with write_atomically(file) as opened:
        opened.write(safetensors.numpy.save(dict(vars(model))))


def _load(file: Path) -> LinearModel:
    try:
        check_regular_file(file)
        return LinearModel(**safetensors.numpy.load(file.read_bytes()))
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise DataError(
            f"{file} must be the linear model that fit wrote, but cannot be read ({error}). Delete it, and run the "
            "same command again."
        ) from error
