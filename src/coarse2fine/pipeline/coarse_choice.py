"""``coarse.method = auto``: compare coarse methods on a sample of the photos, without ground truth, and choose one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from coarse2fine.coarse import binarize, saliency
from coarse2fine.coarse.combined import combine, cut_box
from coarse2fine.coarse.judge import Features, extract_features, score_masks
from coarse2fine.coarse.student import Student
from coarse2fine.config import EnhanceConfig, FitConfig
from coarse2fine.data.photos import read_image
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.networks.backbone import build_encoder, find_mean_and_std
from coarse2fine.pipeline.enhance_stage import prepare_enhancer
from coarse2fine.pipeline.job import FitJob
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.device import pick_device
from coarse2fine.runtime.files import hash_of, read_json, read_json_or_empty, write_json
from coarse2fine.runtime.seeds import seed_of
from coarse2fine.runtime.threads import map_threads, single_threaded_opencv
from coarse2fine.store.fingerprints import (
    coarse_settings,
    describe_photo_masks,
    describe_photos,
    describe_settings,
    enhance_settings,
)
from coarse2fine.types import Image, Mask, Photo

CANDIDATES = ("combined", "student", "saliency")
"""The methods that are compared; the first is chosen where no comparison is possible.

The box is none of them: without ground truth it is scored too high. It is part of ``combined``.
"""

MAX_SAMPLE = 80
"""Photos that are compared."""

MIN_SAMPLE = 8
"""With fewer photos, no comparison is made."""

MIN_CORRECTED = 5
"""With this many masks that people corrected, the methods are compared with them."""

SEED_PART = 7
"""Distinguishes the random numbers of the sample from others of the same seed."""


def choose_coarse_method(job: FitJob) -> FitJob:
    """Return the job with the coarse method that suits its photos, if the settings leave the choice to this function.

    The first process compares the methods, and writes its choice to ``coarse-choice.json``. The file is used again as
    long as the compared photos and all settings that the comparison depends on are the same.

    - With `MIN_CORRECTED` or more masks that people corrected, the method whose enhanced masks agree best with them.
    - Else the method whose enhanced masks are predicted best by the features of the pretrained encoder of
      ``network.encoder`` (:mod:`coarse2fine.coarse.judge`).
    - Without pretrained encoder, or with fewer than `MIN_SAMPLE` photos, ``combined``.
    """
    coarse = job.config.coarse
    if coarse.method != "auto":
        return job
    if job.context.is_main:
        _write_choice(job)
    job.context.barrier()
    chosen = coarse.with_method(read_json(job.run.coarse_choice)["method"])
    return replace(job, config=job.config.model_copy(update={"coarse": chosen}))


def draw_sample(photos: Sequence[Photo], seed: int) -> list[Photo]:
    """Draw at most `MAX_SAMPLE` photos; each class has its share of them.

    Returns:
        The photos, in random order.
    """
    rng = np.random.default_rng(seed_of(seed, SEED_PART))
    shuffled = [photos[index] for index in rng.permutation(len(photos))]
    by_class = sorted(shuffled, key=lambda photo: photo.label)
    count = min(MAX_SAMPLE, len(photos))
    drawn = [by_class[index * len(photos) // count] for index in range(count)]
    return [drawn[index] for index in rng.permutation(count)]


def pick_best(scores: Sequence[float]) -> int:
    """Return the index of the candidate with the best score; of equal ones the first."""
    return int(np.argmax(scores))


def _write_choice(job: FitJob) -> None:
    run, config, console = job.run, job.config, job.context.console
    is_corrected = len(job.corrected) >= MIN_CORRECTED
    photos = draw_sample(job.corrected if is_corrected else job.photos, config.seed)
    inputs = _describe_inputs(job, photos, is_corrected)
    choice = read_json_or_empty(run.coarse_choice)
    if choice.get("key") == hash_of(inputs):
        console.say(f"coarse method: {choice['method']}, already chosen", style="dim")
        return
    choice = {"key": hash_of(inputs), "inputs": inputs, "photos": len(photos)}
    choice |= _compare(job, photos, is_corrected)
    write_json(run.coarse_choice, choice)
    console.say(f"coarse method: {choice['method']}. {choice['reason']}", style="bold")


def _describe_inputs(job: FitJob, photos: Sequence[Photo], is_corrected: bool) -> dict[str, Any]:
    """Return everything that the choice depends on, as plain values."""
    config = job.config
    network = describe_settings(config.network, "network")
    names = ("network.encoder", "network.encoder_weights", "network.output_stride")
    return {
        "coarse methods": {name: coarse_settings(config.coarse.with_method(name)) for name in CANDIDATES},
        "enhance": enhance_settings(config.enhance, config.start_of(0), config.seed),
        "photos": describe_photos(photos),
        "judge": describe_photo_masks(photos, job.run.corrected)
        if is_corrected
        else {key: network[key] for key in names},
    }


def _compare(job: FitJob, photos: Sequence[Photo], is_corrected: bool) -> dict[str, Any]:
    """Return the chosen method, the scores of all compared ones, and the reason in words."""
    network, default = job.config.network, CANDIDATES[0]
    if not is_corrected:
        if network.encoder_weights == "none":
            why = "not compared with other methods, because network.encoder_weights is none"
            return {"method": default, "scores": {}, "reason": f"It was {why}."}
        if len(photos) < MIN_SAMPLE:
            why = f"not compared with other methods, because that needs at least {MIN_SAMPLE} photos"
            return {"method": default, "scores": {}, "reason": f"It was {why}, found {len(photos)}."}
    masks, features = _make_masks(job, photos, with_features=not is_corrected)
    if is_corrected:
        expected = [read_mask(mask_path(job.run.corrected, photo.name)) for photo in photos]
        ious = [[binary_iou(mask, truth) for mask in of_photo] for of_photo, truth in zip(masks, expected, strict=True)]
        scores = [float(score) for score in np.mean(ious, axis=0)]
        what = f"Mean IoU with {len(photos)} corrected masks"
    else:
        scores = score_masks(features, masks)
        what = f"Score without ground truth on {len(photos)} photos, by the features of {network.encoder}"
    best = pick_best(scores)
    listed = ", ".join(f"{name} {score:.3f}" for name, score in zip(CANDIDATES, scores, strict=True))
    rounded = {name: round(score, 6) for name, score in zip(CANDIDATES, scores, strict=True)}
    return {"method": CANDIDATES[best], "scores": rounded, "reason": f"{what}: {listed}."}


def _make_masks(job: FitJob, photos: Sequence[Photo], with_features: bool) -> tuple[list[list[Mask]], list[Features]]:
    """Return for each photo the enhanced masks of the candidates, and the features of the encoder if requested."""
    make = prepare_candidates(job.config, job.context.console)
    extract = _prepare_features(job.config) if with_features else None

    def work(photo: Photo) -> tuple[list[Mask], Features | None]:
        image = read_image(photo.path)
        return make(image), extract(image) if extract else None

    masks: list[list[Mask]] = []
    features: list[Features] = []
    with single_threaded_opencv():
        results = map_threads(work, photos, job.context.threads)
        for found, feature in job.context.console.track(results, len(photos), "comparing coarse methods"):
            masks.append(found)
            if feature is not None:
                features.append(feature)
    return masks, features


def prepare_candidates(config: FitConfig, console: Console) -> Callable[[Image], list[Mask]]:
    """Return a function from a photo to the enhanced masks of `CANDIDATES`, which all threads may call."""
    coarse, start = config.coarse, config.start_of(0)
    prepare_enhancer(EnhanceConfig(), "box", config.seed, console)  # for the box of the method combined
    enhance = prepare_enhancer(config.enhance, start, config.seed, console)
    student, in_use = Student.load(coarse.student.file), Lock()

    def make(image: Image) -> list[Mask]:
        with in_use:  # one photo at a time, on all cores or on the GPU
            learned = student(image)
        salient = saliency(image)
        soft_masks = (combine(learned, salient, cut_box(image, coarse.box.share)), learned, salient)
        masks = []
        for name, soft in zip(CANDIDATES, soft_masks, strict=True):
            mask = binarize(soft, coarse.with_method(name).binarization_threshold)
            masks.append(enhance(image, mask, soft if start == "probabilities" else None).mask)
        return masks

    return make


def _prepare_features(config: FitConfig) -> Callable[[Image], Features]:
    network, in_use = config.network, Lock()
    encoder = build_encoder(network.encoder, network.output_stride, network.encoder_weights).eval().to(pick_device())
    extract = partial(extract_features, encoder, mean_and_std=find_mean_and_std(network.encoder))

    def extract_one(image: Image) -> Features:
        with in_use:
            return extract(photo=image)

    return extract_one
