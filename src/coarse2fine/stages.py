"""The mask stages: one photo's step, for all photos, on all cores, shared among processes, resumable.

A photo whose mask is there is not touched again; what is worth telling about a photo is kept in ``notes-<rank>.jsonl``.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from coarse2fine.coarse import binarise, coarse_from
from coarse2fine.coarse.student import Student, find_in_files
from coarse2fine.config import CoarseConfig, EnhanceConfig, RefineConfig
from coarse2fine.console import Console
from coarse2fine.data.photos import read_image, read_size
from coarse2fine.enhance import Start, enhance_many, enhancer_from, find_gpu, prepare
from coarse2fine.enhance.grabcut import pose
from coarse2fine.enhance.pyramid import Question
from coarse2fine.errors import DataError
from coarse2fine.inference import Segmenter, score_files
from coarse2fine.masks import binarize, foreground_values, keep_reason, likelihood, resize_mask, resize_soft
from coarse2fine.parallel import World, barrier, count_threads, map_threads
from coarse2fine.store import (
    Stage,
    mask_path,
    measure_seconds,
    read_json,
    read_mask,
    read_soft,
    write_json,
    write_mask,
    write_soft,
)
from coarse2fine.types import Enhanced, Enhancer, Image, Mask, Photo, Scores, SoftMask

if TYPE_CHECKING:
    import torch

REFINE_BATCH = 8
GPU_BATCH = 256  # photos whose masks wait in memory while the GPU cuts; it takes fewer at a time


@dataclass(frozen=True)
class Crew:
    """Who works, and who talks.

    Attributes:
        world: The processes of the run.
        console: What a person sees.
    """

    world: World = field(default_factory=World)
    console: Console = field(default_factory=partial(Console, quiet=True))

    @property
    def threads(self) -> int:
        """Threads of this process's mask stages."""
        return count_threads(self.world)

    @property
    def leads(self) -> bool:
        """Whether this is the first process, which writes what there is only one of."""
        return self.world.rank == 0

    def wait(self) -> None:
        """Until every process has come this far."""
        barrier(self.world)


def run_stage(stage: Stage, crew: Crew, work: Callable[[], dict[str, object] | None]) -> bool:
    """Do a stage unless it is done; go on with it where an earlier run stopped.

    Args:
        stage: Its folder, and what it depends on.
        crew: Who works.
        work: Does it, in every process; may return counts for ``done.json``.

    Returns:
        Whether there was something to do.
    """
    if stage.is_done():
        crew.console.say(f"{stage.title}: done before", style="dim")
        return False
    crew.wait()
    if crew.leads:
        why = stage.begin()
        if why:
            crew.console.say(f"{stage.title}: done again, because {why}", style="yellow")
    crew.wait()
    with measure_seconds() as seconds:
        counts = work() or {}
        crew.wait()
    if crew.leads:
        stage.finish(seconds[0], **counts)
    crew.wait()
    return True


def make_coarse_masks(
    photos: Sequence[Photo], folder: Path, config: CoarseConfig, crew: Crew, scores_folder: Path | None = None
) -> None:
    """Stage 1: write a coarse mask, in its label, for every photo.

    Where there is a ``scores_folder``, it receives the soft masks.

    Raises:
        DataError: ``method`` is ``folder``, and a photo has no mask there.
    """
    if config.method == "folder":
        assert config.folder is not None
        given = config.folder
        _check_given(photos, given)
        write_masks(photos, folder, lambda photo: _in_label(_read_given(photo, given), photo), "coarse masks", crew)
    elif config.method == "student":
        _ask_student(photos, folder, config, crew, scores_folder)
    else:
        _find_one_by_one(photos, folder, config, crew, scores_folder)


def _find_one_by_one(
    photos: Sequence[Photo], folder: Path, config: CoarseConfig, crew: Crew, scores_folder: Path | None
) -> None:
    method = coarse_from(config)

    def make(photo: Photo) -> Enhanced:
        soft = method(read_image(photo.path))
        if scores_folder:
            write_soft(mask_path(scores_folder, photo.name), soft)
        return _in_label(Enhanced(binarise(soft, config.threshold), None), photo)

    write_masks(photos, folder, make, "coarse masks", crew)


def _ask_student(
    photos: Sequence[Photo], folder: Path, config: CoarseConfig, crew: Crew, scores_folder: Path | None
) -> None:
    student = Student.load(config.student_file)

    def finish(found: tuple[int, SoftMask]) -> None:
        photo, soft = photos[found[0]], found[1]
        if scores_folder:
            write_soft(mask_path(scores_folder, photo.name), soft)
        mask = binarise(resize_soft(soft, *read_size(photo.path)), config.threshold)
        write_mask(mask_path(folder, photo.name), mask * np.uint8(photo.label))

    missing = {photo.name for photo in _missing(photos, folder)}
    paths = [photo.path for photo in photos]
    found = find_in_files(student, paths, crew.threads, crew.world, lambda index: photos[index].name in missing)
    mine = len(photos) // crew.world.size
    done = map_threads(finish, found, crew.threads)
    for _ in crew.console.track(done, mine, "coarse masks", mine - len(missing) // crew.world.size):
        pass


def start_enhancing(
    config: EnhanceConfig, start: Start, seed: int, crew: Crew
) -> "tuple[Enhancer, torch.device | None]":
    """The enhancer, compiled, and the GPU if it works on one; says so where compiling takes a while."""
    enhance, gpu = enhancer_from(config, start, seed), find_gpu(config)
    with crew.console.explaining("enhancement: compiled for this machine, once; this takes half a minute at most"):
        prepare(config)
    return enhance, gpu


def enhance_masks(
    photos: Sequence[Photo],
    rough: Path,
    folder: Path,
    config: EnhanceConfig,
    start: Start,
    seed: int,
    crew: Crew,
    title: str = "enhancement",
    scores: Path | None = None,
) -> None:
    """Stage 2: write, in its label, an enhanced mask for every photo from its rough mask, and its scores if given."""
    enhance, gpu = start_enhancing(config, start, seed, crew)

    def load(photo: Photo) -> tuple[Image, Mask, SoftMask | None]:
        rough_mask = binarize(read_mask(mask_path(rough, photo.name)))
        soft = read_soft(mask_path(scores, photo.name)) if scores else None
        return read_image(photo.path), rough_mask, soft

    def ask(photo: Photo) -> tuple[Mask, Question | str]:
        image, rough_mask, soft = load(photo)
        return pose(image, rough_mask, soft, config, start)

    def make_many(device: "torch.device", batch: Sequence[Photo]) -> list[Enhanced]:
        made = enhance_many(map_threads(ask, batch, crew.threads), config, device)
        return [_in_label(one, photo) for one, photo in zip(made, batch, strict=True)]

    if gpu:
        write_batches(photos, folder, partial(make_many, gpu), title, crew, GPU_BATCH, threads=2)
    else:
        write_masks(photos, folder, lambda photo: _in_label(enhance(*load(photo)), photo), title, crew)


def refine_masks(
    photos: Sequence[Photo],
    segmenter: Segmenter,
    folder: Path,
    config: RefineConfig,
    crew: Crew,
    title: str = "refined masks",
    scores_folder: Path | None = None,
) -> None:
    """Write for every photo the mask that the network gives it, constrained to its label.

    Where there is a ``scores_folder``, it receives how likely each pixel is the label's, at the network's working size.

    Source: the paper, section IV-D2, strategy b.
    """

    def finish(scored: tuple[int, Scores]) -> None:
        photo, scores = photos[scored[0]], scored[1]
        soft = likelihood(scores, photo.label, config.constrain, config.threshold)
        if scores_folder:
            write_soft(mask_path(scores_folder, photo.name), soft)
        own = resize_soft(soft, *read_size(photo.path)) > 0.5
        write_mask(mask_path(folder, photo.name), own.astype(np.uint8) * np.uint8(photo.label))

    missing = {photo.name for photo in _missing(photos, folder)}
    paths = [photo.path for photo in photos]
    scored = score_files(
        segmenter, paths, REFINE_BATCH, crew.threads, crew.world, lambda index: photos[index].name in missing
    )
    mine = len(photos) // crew.world.size
    done = map_threads(finish, scored, crew.threads)
    for _ in crew.console.track(done, mine, title, mine - len(missing) // crew.world.size):
        pass


def filter_masks(photos: Sequence[Photo], folder: Path, config: RefineConfig, crew: Crew) -> dict[str, str | None]:
    """Judge by its mask whether a photo goes on to the next round.

    Returns:
        For each photo's name: none if it stays, else why it leaves.

    Source: the paper, section IV-D2 (1 % and 80 %).
    """

    def judge(photo: Photo) -> str | None:
        return keep_reason(read_mask(mask_path(folder, photo.name)), config.min_share, config.max_share)

    reasons = map_threads(judge, photos, crew.threads)
    return {photo.name: reason for photo, reason in zip(photos, reasons, strict=True)}


def find_empty(photos: Sequence[Photo], folder: Path, crew: Crew) -> set[str]:
    """Names of photos whose mask has no foreground: they would teach that their object is background."""

    def is_empty(photo: Photo) -> bool:
        return not binarize(read_mask(mask_path(folder, photo.name))).any()

    empty = map_threads(is_empty, photos, crew.threads)
    return {photo.name for photo, nothing in zip(photos, empty, strict=True) if nothing}


def read_notes(folder: Path) -> dict[str, str]:
    """What a stage had to tell about single photos, by name."""
    path = folder / "notes.json"
    return dict(read_json(path)) if path.exists() else {}


def write_masks(
    photos: Sequence[Photo], folder: Path, make: Callable[[Photo], Enhanced], title: str, crew: Crew
) -> dict[str, str]:
    """Write ``<photo>.png`` for every photo that has none yet, each process its share.

    Args:
        photos: Whose masks to make.
        folder: Where they go.
        make: The mask of one photo, class indices, shape (H, W), and what is worth telling about it.
        title: What progress is called.
        crew: Who works.

    Returns:
        What was told about single photos, by name.
    """
    return write_batches(photos, folder, lambda batch: [make(photo) for photo in batch], title, crew, 1, crew.threads)


def write_batches(
    photos: Sequence[Photo],
    folder: Path,
    make: Callable[[Sequence[Photo]], Sequence[Enhanced]],
    title: str,
    crew: Crew,
    size: int,
    threads: int = 1,
) -> dict[str, str]:
    """Like :func:`write_masks`, with up to ``size`` photos made at once, by ``threads`` threads."""
    mine = crew.world.share(photos)
    todo = _missing(mine, folder)
    cv2.setNumThreads(1)  # this stage has a thread for every core; OpenCV's own would only get in their way
    batches = [todo[first : first + size] for first in range(0, len(todo), size)]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"notes-{crew.world.rank}.jsonl").open("a", encoding="utf-8") as notes:
        notes.write("\n")  # ends a line that a full disk cut short

        def write(batch: Sequence[Photo]) -> Sequence[Photo]:
            for photo, made in zip(batch, make(batch), strict=True):
                if made.note:
                    notes.write(json.dumps({photo.name: made.note}, ensure_ascii=False) + "\n")
                    notes.flush()
                write_mask(mask_path(folder, photo.name), made.mask)
            return batch

        done = chain.from_iterable(map_threads(write, batches, threads))
        for _ in crew.console.track(done, len(mine), title, len(mine) - len(todo)):
            pass
    crew.wait()
    if crew.leads:
        _merge_notes(folder)
    crew.wait()
    return read_notes(folder)


def _in_label(made: Enhanced, photo: Photo) -> Enhanced:
    return Enhanced(binarize(made.mask) * np.uint8(photo.label), made.note)


def _merge_notes(folder: Path) -> None:
    files = sorted(folder.glob("notes-*.jsonl"))
    lines = chain.from_iterable(file.read_text(encoding="utf-8").splitlines() for file in files)
    merged = read_notes(folder)
    for line in lines:
        merged |= _parse_note(line)
    write_json(folder / "notes.json", merged)
    for file in files:
        file.unlink()


def _parse_note(line: str) -> dict[str, str]:
    """One note; nothing from a line cut short: its photo had no mask yet, so it was made and noted again."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}


def _missing(photos: Sequence[Photo], folder: Path) -> list[Photo]:
    return [photo for photo in photos if not mask_path(folder, photo.name).exists()]


def _read_given(photo: Photo, folder: Path) -> Enhanced:
    mask = read_mask(mask_path(folder, photo.name))
    foreground = np.isin(mask, foreground_values(mask)).astype(np.uint8)
    return Enhanced(resize_mask(foreground, *read_size(photo.path)), None)


def _check_given(photos: Sequence[Photo], folder: Path) -> None:
    missing = _missing(photos, folder)
    if missing:
        first = mask_path(folder, missing[0].name)
        raise DataError(
            f"Every photo needs a mask in coarse.folder, but {len(missing)} of {len(photos)} have none; "
            f"the first that is missing is {first}."
        )
