"""``coarse.method = auto``: compare coarse methods on a sample of the photos, without ground truth, and choose one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from coarse2fine.coarse import binarize_coarse, saliency
from coarse2fine.coarse.combined import STUDENT_WEIGHTS, combine, cut_box
from coarse2fine.coarse.judge import score_masks
from coarse2fine.coarse.student import Student
from coarse2fine.config import EnhanceConfig, FitConfig
from coarse2fine.data.photos import read_image
from coarse2fine.enhance.pixel_features import Features
from coarse2fine.evaluation.metrics import binary_iou
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.pipeline.enhance_stage import prepare_enhancer
from coarse2fine.pipeline.job import FitJob
from coarse2fine.pipeline.linear_stage import feature_settings, prepare_features
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.files import hash_of, write_json
from coarse2fine.runtime.seeds import seed_of
from coarse2fine.runtime.threads import map_threads, single_threaded_opencv
from coarse2fine.store.fingerprints import (
    coarse_settings,
    describe_photo_masks,
    describe_photos,
    enhance_settings,
)
from coarse2fine.store.records import read_coarse_choice
from coarse2fine.types import Image, Mask, Photo

CANDIDATES = ("combined", "combined-equal", "student", "saliency")
"""The methods that are compared; the first is chosen where no comparison is possible.

The box is none of them: a comparison without ground truth prefers it on photos where it is bad (docs/log.md). It is
part of the combined methods.
"""

SALIENCY_MARGIN = 0.02
"""Without ground truth, saliency is chosen only if its score is better than all others by this margin.

Its masks and the features follow the same colors and textures, so its score is too high: on 12 samples of pascal20, it
was best on some with IoU .446 (combined .489). Where it is much better than the others, the difference is above 0.3.
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
    - Without pretrained encoder, or with fewer than `MIN_SAMPLE` photos, the first of `CANDIDATES`.
    """
    coarse = job.config.coarse
    if coarse.method != "auto":
        return job
    if job.context.is_main:
        _write_choice(job)
    job.context.barrier()
    chosen = coarse.with_method(read_coarse_choice(job.run.coarse_choice)["method"])
    return replace(job, config=job.config.model_copy(update={"coarse": chosen}))


def draw_sample(photos: Sequence[Photo], seed: int) -> list[Photo]:
    """Draw at most `MAX_SAMPLE` photos; each class has its share of them.

    Returns:
        The photos, in random order.
    """
    rng = np.random.default_rng(seed_of(seed, SEED_PART))
    shuffled = [photos[index] for index in rng.permutation(len(photos))]
    by_class = sorted(shuffled, key=lambda photo: photo.labels)
    count = min(MAX_SAMPLE, len(photos))
    drawn = [by_class[index * len(photos) // count] for index in range(count)]
    return [drawn[index] for index in rng.permutation(count)]


def pick_best(scores: Sequence[float], saliency_margin: float) -> str:
    """Return the candidate with the best score, of equal ones the first; saliency only with a margin.

    Args:
        scores: Those of `CANDIDATES`, in this order.
        saliency_margin: By how much the score of saliency must be better than all others.
    """
    handicapped = [
        score - saliency_margin * (name == "saliency") for name, score in zip(CANDIDATES, scores, strict=True)
    ]
    return CANDIDATES[int(np.argmax(handicapped))]


def _write_choice(job: FitJob) -> None:
    run, config, console = job.run, job.config, job.context.console
    is_corrected = len(job.corrected) >= MIN_CORRECTED
    photos = draw_sample(job.corrected if is_corrected else job.labeled, config.seed)
    inputs = _describe_inputs(job, photos, is_corrected)
    choice = read_coarse_choice(run.coarse_choice)
    if choice.get("key") == hash_of(inputs):
        console.say(f"coarse method: {choice['method']}, already chosen", style="dim")
        return
    choice = {"key": hash_of(inputs), "inputs": inputs, "photos": len(photos)}
    choice |= _compare(job, photos, is_corrected)
    write_json(run.coarse_choice, choice)
    console.say(f"coarse method: {choice['method']}. {choice['reason']}.", style="bold")


def _describe_inputs(job: FitJob, photos: Sequence[Photo], is_corrected: bool) -> dict[str, Any]:
    """Return everything that the choice depends on, as plain values."""
    config = job.config
    return {
        "coarse methods": {name: coarse_settings(config.coarse.with_method(name)) for name in CANDIDATES},
        "enhance": enhance_settings(config.enhance, config.start_of(0), config.seed),
        "photos": describe_photos(photos),
        "judge": describe_photo_masks(photos, job.run.corrected) if is_corrected else feature_settings(config),
    }


def _compare(job: FitJob, photos: Sequence[Photo], is_corrected: bool) -> dict[str, Any]:
    """Return the chosen method, the scores of all compared ones, and the reason in words."""
    network, default = job.config.network, {"method": CANDIDATES[0], "scores": {}}
    if not is_corrected and network.encoder_weights == "none":
        return default | {"reason": "Methods cannot be compared, because network.encoder_weights is none"}
    if not is_corrected and len(photos) < MIN_SAMPLE:
        return default | {"reason": f"Methods cannot be compared on fewer than {MIN_SAMPLE} photos"}
    masks, features = _make_masks(job, photos, with_features=not is_corrected)
    if is_corrected:
        scores = _measure(masks, [read_mask(mask_path(job.run.corrected, photo.name)) for photo in photos])
        what = f"mean IoU with {len(photos)} corrected masks"
    else:
        scores = score_masks(features, masks)
        what = f"score without ground truth on {len(photos)} photos, from features of {network.encoder}"
    by_name = {name: round(score, 6) for name, score in zip(CANDIDATES, scores, strict=True)}
    listed = ", ".join(f"{name} {score:.3f}" for name, score in by_name.items())
    best = pick_best(scores, 0 if is_corrected else SALIENCY_MARGIN)
    return {"method": best, "scores": by_name, "reason": f"{listed} ({what})"}


def _measure(masks: Sequence[Sequence[Mask]], corrected: Sequence[Mask]) -> list[float]:
    """Return the mean IoU of each candidate with the corrected masks."""
    ious = [[binary_iou(mask, truth) for mask in found] for found, truth in zip(masks, corrected, strict=True)]
    return [float(iou) for iou in np.mean(ious, axis=0)]


def _make_masks(job: FitJob, photos: Sequence[Photo], with_features: bool) -> tuple[list[list[Mask]], list[Features]]:
    """Return for each photo the enhanced masks of the candidates, and the features of the encoder if requested."""
    make = prepare_candidates(job.config, job.context.console)
    extract = prepare_features(job.config) if with_features else None

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
        box_cut = cut_box(image, coarse.box.share)
        soft_masks = {name: combine(learned, salient, box_cut, weight) for name, weight in STUDENT_WEIGHTS.items()}
        soft_masks |= {"student": learned, "saliency": salient}
        masks = []
        for name in CANDIDATES:
            mask = binarize_coarse(soft_masks[name], coarse.with_method(name))
            masks.append(enhance(image, mask, soft_masks[name] if start == "probabilities" else None).mask)
        return masks

    return make
