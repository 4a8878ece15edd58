"""Generations of student networks: train on a teacher's soft masks, then on the student's own masks of new photos.

Every step is a stage in the folder beside the student's file, so the same command resumes after an interruption.

Source: Croitoru, Bogolin, Leordeanu, ICCV 2017 (first generation) and IJCV 2019, section 3 (further generations).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from coarse2fine.coarse.student import Student, predict_soft_masks
from coarse2fine.config import EnhanceConfig, StudentConfig, value_of
from coarse2fine.data import list_photos
from coarse2fine.data.class_folders import names_below_common_folder
from coarse2fine.distillation.examples import describe_examples, find_teacher_examples
from coarse2fine.distillation.selection import select_best
from coarse2fine.distillation.soft_masks import align_with_edges, score_by_evalseg, score_by_mean, weight_by_center
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.masks.png import mask_path, write_soft
from coarse2fine.networks.student import EvalSegNet, build_student
from coarse2fine.networks.weights import save_weights
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import hash_of, read_json, write_json
from coarse2fine.runtime.seeds import seed_of, torch_seed
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.fingerprints import describe_photos, enhance_settings
from coarse2fine.store.lock import hold_folder
from coarse2fine.store.photos import stamp_photos, write_stamps
from coarse2fine.store.stages import Stage, run_stage
from coarse2fine.training.loop import check_batch, train
from coarse2fine.training.student import EvalSegJob, StudentJob, train_evalseg
from coarse2fine.types import Example, Photo

EVALSEG_EPOCHS = 8
"""Epochs of the training of EvalSeg-Net. The paper does not say how many; docs/log.md records no comparison."""


def train_student(
    frames: Sequence[Path | str],
    masks: Sequence[Path | str],
    out: Path | str,
    config: StudentConfig | None = None,
    photos: Sequence[Path | str] = (),
    context: Context | None = None,
    half: bool = False,
) -> Student:
    """Train a student network on a teacher's soft masks, and further generations on new photos.

    Args:
        frames: Folders of the frames or photos for which the teacher made masks.
        masks: Folder of their soft masks (gray PNG files of the same names), or one folder for each folder of frames,
            in the same order. If the folder or its parent holds the teacher's ``selection.csv``, only the frames kept
            there are used.
        out: File of the student, ``.safetensors``. All other files go to the folder of the same name without suffix.
        config: Settings; default: ``StudentConfig()``.
        photos: Files, folders and glob patterns of new photos without labels, required for more than one generation.
        context: Processes and console; default: this process, without output.
        half: Store 16-bit numbers, which halves the size of the file.

    Returns:
        The student of the last generation.

    Raises:
        ConfigError: There are no frames, the numbers of folders differ, ``out`` has another suffix, or more than one
            generation is configured without new photos.
        DataError: Frames, masks or photos cannot be used, or the folder holds other files.
    """
    config, context, out = config or StudentConfig(), context or Context(), Path(out)
    _check_arguments(frames, masks, out, config, photos)
    check_batch(config.train.batch, context.world)
    examples = find_teacher_examples([Path(folder) for folder in frames], [Path(folder) for folder in masks])
    folder = out.with_suffix("")
    new_photos = _find_new_photos(photos, folder) if config.generations.number > 1 else []
    with hold_folder(folder), torch.random.fork_rng(devices=[]):  # a loaded network is built with random weights first
        student = _Generations(folder, config, context, new_photos).train_all(examples)
        student.save(out, {"settings": config.model_dump(mode="json")}, half)
    context.console.say(f"student: {out}", style="green")
    return student


def _check_arguments(
    frames: Sequence[Path | str],
    masks: Sequence[Path | str],
    out: Path,
    config: StudentConfig,
    photos: Sequence[Path | str],
) -> None:
    if not frames:
        raise ConfigError("A student is trained on frames and their soft masks: add --frames, the folder of frames.")
    if len(masks) not in {1, len(frames)}:
        raise ConfigError(
            f"The number of folders of masks must be 1 or equal to the number of folders of frames ({len(frames)}), "
            f"found {len(masks)}. Give --masks once, or once for each --frames, in the same order."
        )
    if out.suffix != ".safetensors":
        raise ConfigError(f"The student's file must end in .safetensors, found {out}.")
    if config.generations.number > 1 and not photos:
        raise ConfigError(
            f"{config.generations.number} generations need new photos: add --photos, or set generations.number to 1."
        )


def _find_new_photos(photos: Sequence[Path | str], folder: Path) -> list[Photo]:
    paths = list_photos(photos, apart_from=folder)
    names = names_below_common_folder(paths, photos)
    listed = [Photo(path, name, (1,)) for path, name in zip(paths, names, strict=True)]
    stamped = stamp_photos(listed, folder)
    write_stamps(stamped, folder)
    return stamped


class _TrainingSet(NamedTuple):
    """Examples that a generation trains on, and their fingerprint."""

    examples: Sequence[Example]
    key: str


class _Trained(NamedTuple):
    """A trained generation: the student, the examples it was trained on, and the fingerprint of its stage."""

    student: Student
    examples: Sequence[Example]
    key: str


@dataclass(frozen=True)
class _Generations:
    """All generations of one student: folder, settings, processes, and the new photos."""

    folder: Path
    config: StudentConfig
    context: Context
    new_photos: Sequence[Photo]

    def train_all(self, teacher_examples: Sequence[Example]) -> Student:
        """Train all generations; return the student of the last one."""
        trained = self.train(1, _TrainingSet(teacher_examples, describe_examples(teacher_examples)))
        for number in range(2, self.config.generations.number + 1):
            soft = self.predict_soft_masks(number, trained)
            scores = self.score_masks(number, trained, soft)
            selected = self.select_photos(number, scores)
            masks = self.align_masks(number, soft) if self.config.generations.enhance else soft
            trained = self.train(number, self.collect_examples(selected, masks, trained.examples))
        return trained.student

    def train(self, number: int, data: _TrainingSet) -> _Trained:
        """Train a new student network on the examples."""
        config, folder = self.config, self.generation_folder(number)
        job = StudentJob(
            photos=data.examples,
            config=config.train,
            epochs=value_of(config.train.epochs, number),
            input_px=config.network.input_px,
            seed=seed_of(config.seed, number),
            folder=folder / "training",
            title=f"generation {number}: training",
        )
        stage = Stage(job.folder, job.title, self.training_settings(job.epochs), (data.key,))
        with torch_seed(config.seed, number, 0):
            network = build_student(config.network)
        path = folder / "student.safetensors"

        def work() -> dict[str, object]:
            loss = train(network, job, self.context)
            Student(network, config.network).save(path)
            return {"loss": round(loss, 6), "photos": len(job.photos)}

        run_stage(stage, self.context, work)
        # The file has the view_px of the first call; view_px may change without a new training.
        return _Trained(replace(Student.load(path), config=config.network), data.examples, stage.key)

    def predict_soft_masks(self, number: int, trained: _Trained) -> Stage:
        """Predict soft masks of the new photos with the student of the generation before."""
        sigma = value_of(self.config.generations.prior_sigma, number - 1)
        settings = {
            "photos": describe_photos(self.new_photos),
            "generations.prior_sigma": sigma,
            "seen_px": trained.student.config.seen_px,
        }
        stage = self.stage(number, "soft", "soft masks", settings, trained.key)

        def work() -> None:
            paths = [photo.path for photo in self.new_photos]
            targets = [mask_path(stage.folder, photo.name) for photo in self.new_photos]
            missing = [not target.exists() for target in targets]
            context = self.context
            found = predict_soft_masks(
                trained.student, paths, context.threads, context.world, lambda index: missing[index]
            )
            for index, soft in context.console.track(found, len(paths), stage.title, missing.count(False)):
                write_soft(targets[index], weight_by_center(soft, sigma))

        run_stage(stage, self.context, work)
        return stage

    def score_masks(self, number: int, trained: _Trained, soft: Stage) -> dict[str, float]:
        """Score the soft masks of the new photos, 0 to 1, by name of the photo."""
        generations = self.config.generations
        use_evalseg = generations.selector == "evalseg"
        settings: dict[str, object] = {"selector": generations.selector}
        if use_evalseg:
            settings["evalseg_epochs"] = EVALSEG_EPOCHS
        stage = self.stage(number, "selection", "selection", settings, soft.key)

        def work() -> dict[str, object]:
            if use_evalseg:
                evalseg = self.train_evalseg(number, trained, stage.folder)
                student = trained.student
                scores = score_by_evalseg(evalseg, student, self.new_photos, soft.folder, self.context.threads)
            else:
                scores = score_by_mean(self.new_photos, soft.folder, self.context.threads)
            write_json(stage.folder / "scores.json", scores)
            return {"mean": round(float(np.mean(list(scores.values()))), 4)}

        run_stage(stage, self.context, work)
        scores: dict[str, float] = read_json(stage.folder / "scores.json")
        return scores

    def train_evalseg(self, number: int, trained: _Trained, folder: Path) -> EvalSegNet:
        """Train the network that scores masks, on the examples of the generation before."""
        with torch_seed(self.config.seed, number, 1):
            evalseg = EvalSegNet()
        job = EvalSegJob(
            photos=trained.examples,
            config=self.config.train,
            epochs=EVALSEG_EPOCHS,
            input_px=self.config.network.input_px,
            seed=seed_of(self.config.seed, number - 1),
            folder=folder,
            title=f"generation {number}: training of EvalSeg-Net",
            student=trained.student.network,
        )
        train_evalseg(evalseg, job, self.context)
        save_weights(evalseg, folder / "evalseg.safetensors")
        return evalseg

    def select_photos(self, number: int, scores: Mapping[str, float]) -> list[Photo]:
        """Return the new photos with the best masks."""
        share = 1.0 if self.config.generations.selector == "none" else self.config.generations.keep_share
        kept = select_best([scores[photo.name] for photo in self.new_photos], share)
        selected = [photo for photo, is_kept in zip(self.new_photos, kept, strict=True) if is_kept]
        if not selected:
            raise DataError(
                f"Generation {number} has no photo to train on: all masks of generation {number - 1} are empty."
            )
        return selected

    def align_masks(self, number: int, soft: Stage) -> Stage:
        """Align the soft masks of the new photos with the edges by GrabCut."""
        share = self.config.generations.soft_share
        settings = enhance_settings(EnhanceConfig(), "probabilities", 0) | ({"soft_share": share} if share else {})
        stage = self.stage(number, "enhanced", "GrabCut", settings, soft.key)

        def align(photo: Photo) -> None:
            target = mask_path(stage.folder, photo.name)
            if not target.exists():
                write_soft(target, align_with_edges(photo, mask_path(soft.folder, photo.name), share))

        def work() -> None:
            done = map_threads(align, self.new_photos, self.context.threads)
            for _ in self.context.console.track(done, len(self.new_photos), stage.title):
                pass

        run_stage(stage, self.context, work)
        return stage

    def collect_examples(self, selected: Sequence[Photo], masks: Stage, previous: Sequence[Example]) -> _TrainingSet:
        """Combine the selected photos and, if configured, the previous examples whose photo has no new mask."""
        examples = [Example(photo.path, mask_path(masks.folder, photo.name)) for photo in selected]
        key = hash_of([masks.key, [photo.name for photo in selected]])
        if not self.config.generations.keep_examples:
            return _TrainingSet(examples, key)
        with_new_mask = {photo.path.resolve() for photo in self.new_photos}
        kept = [example for example in previous if example.photo.resolve() not in with_new_mask]
        return _TrainingSet([*examples, *kept], hash_of([key, describe_examples(kept)]))

    def generation_folder(self, number: int) -> Path:
        return self.folder / f"generation-{number}"

    def stage(self, number: int, name: str, title: str, settings: Mapping[str, Any], key: str) -> Stage:
        return Stage(self.generation_folder(number) / name, f"generation {number}: {title}", settings, (key,))

    def training_settings(self, epochs: int) -> dict[str, Any]:
        """Return the settings that decide the weights of a generation."""
        network = self.config.network.model_dump(mode="json", exclude={"view_px"})  # matters in prediction only
        train = self.config.train.model_dump(mode="json") | {"epochs": epochs}
        chosen = {f"network.{name}": value for name, value in network.items()}
        chosen |= {f"train.{name}": value for name, value in train.items()}
        return chosen | {"seed": self.config.seed}
