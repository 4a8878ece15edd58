"""From a teacher's soft masks to a student, and from its masks on new photos to the next generation.

Every step is a stage in the folder beside the student's file, so that the same command goes on where it stopped.

Source: Croitoru, Bogolin, Leordeanu, ICCV 2017 (first generation) and IJCV 2019, section 3 (the next ones).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coarse2fine.coarse.student import Student, find_in_files
from coarse2fine.config import EnhanceConfig, StudentConfig
from coarse2fine.data import list_photos, read_image
from coarse2fine.data.folder import name_below_common_folder
from coarse2fine.distillation.examples import describe_examples, find_first
from coarse2fine.distillation.selection import score_mask, select
from coarse2fine.distillation.videopca import centered_gaussian
from coarse2fine.enhance.grabcut import grabcut
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.masks.png import mask_path, read_soft, write_soft
from coarse2fine.masks.resize import resize_soft
from coarse2fine.networks.student import EvalSegNet, build_student
from coarse2fine.networks.weights import save_weights
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import hash_of, read_json, write_json
from coarse2fine.runtime.seeds import seed_of
from coarse2fine.runtime.threads import map_threads
from coarse2fine.store.fingerprints import describe_photos, enhance_settings, value_of
from coarse2fine.store.lock import hold_folder
from coarse2fine.store.stages import Stage, run_stage
from coarse2fine.training.student import Lesson, teach, teach_judge
from coarse2fine.types import Example, Photo, SoftMask


def train_student(
    frames: Sequence[Path | str],
    masks: Sequence[Path | str],
    out: Path | str,
    config: StudentConfig | None = None,
    photos: Sequence[Path | str] = (),
    context: Context | None = None,
    half: bool = False,
) -> Student:
    """Train a student on a teacher's soft masks, and further generations on new photos.

    Args:
        frames: Folders of the frames or photos that the teacher saw.
        masks: The folder of their soft masks, gray PNGs of the same names, or one for each folder of frames, in their
            order; where it or the folder around it holds the teacher's ``selection.csv``, only frames kept there teach.
        out: The student's file, ``.safetensors``; everything else goes to the folder of the same name without ending.
        config: Every setting.
        photos: Files, folders, glob patterns: new photos without labels, needed for more than one generation.
        context: Who works.
        half: Store numbers of 16 bits: half the size.

    Returns:
        The student of the last generation.

    Raises:
        ConfigError: There are no frames, masks belong to no frames, or there are no photos for further generations.
        DataError: Frames, masks or photos cannot be used, or the folder holds something else.
    """
    config, context, out = config or StudentConfig(), context or Context(), Path(out)
    _check(frames, masks, out, config, photos)
    first = find_first([Path(folder) for folder in frames], [Path(folder) for folder in masks])
    folder = out.with_suffix("")
    new = _name_photos(photos, folder) if config.generations.number > 1 else []
    with hold_folder(folder):
        student = _Generations(folder, config, context, new).go(first)
        student.save(out, {"settings": config.model_dump(mode="json")}, half)
    context.console.say(f"student: {out}", style="green")
    return student


def _check(
    frames: Sequence[Path | str],
    masks: Sequence[Path | str],
    out: Path,
    config: StudentConfig,
    photos: Sequence[Path | str],
) -> None:
    if not frames:
        raise ConfigError("A student learns from frames and their masks: add --frames, the folder of the frames.")
    if len(masks) not in {1, len(frames)}:
        raise ConfigError(
            f"There must be one folder of masks for all frames, or one for each of the {len(frames)} given, "
            f"in their order, found {len(masks)}; give --masks once, or as often as --frames."
        )
    if out.suffix != ".safetensors":
        raise ConfigError(f"The student's file must end in .safetensors, found {out}.")
    if config.generations.number > 1 and not photos:
        raise ConfigError(
            f"{config.generations.number} generations need new photos to find masks for: add --photos, or set "
            "generations.number to 1."
        )


def _name_photos(photos: Sequence[Path | str], folder: Path) -> list[Photo]:
    paths = list_photos(photos, apart_from=folder)
    return [Photo(path, name, 1) for path, name in zip(paths, name_below_common_folder(paths), strict=True)]


@dataclass(frozen=True)
class _Generations:
    """One training: its folder, settings, who works, and the new photos."""

    folder: Path
    config: StudentConfig
    context: Context
    photos: Sequence[Photo]

    def go(self, first: Sequence[Example]) -> Student:
        key = describe_examples(first)
        lesson = self.plan(1, first)
        student, key = self.train(1, lesson, key)
        for number in range(2, self.config.generations.number + 1):
            lesson, key = self.prepare(number, student, lesson, key)
            student, key = self.train(number, lesson, key)
        return student

    def place(self, number: int) -> Path:
        return self.folder / f"generation-{number}"

    def plan(self, number: int, examples: Sequence[Example]) -> Lesson:
        config, title = self.config, f"generation {number}: training"
        seed, folder = seed_of(config.seed, number), self.place(number) / "training"
        epochs = value_of(config.train.epochs, number)
        return Lesson(examples, config.train, epochs, config.network.input_px, seed, folder, title)

    def train(self, number: int, lesson: Lesson, key: str) -> tuple[Student, str]:
        settings = self.settings("network", "train") | {"train.epochs": lesson.epochs}
        del settings["network.view_px"]
        stage = Stage(lesson.folder, lesson.title, settings, (key,))
        torch.manual_seed(seed_of(self.config.seed, number, 0))
        network, path = build_student(self.config.network), self.place(number) / "student.safetensors"

        def work() -> dict[str, object]:
            loss = teach(network, lesson, self.context.world, self.context.console)
            Student(network, self.config.network).save(path)
            return {"loss": round(loss, 6), "photos": len(lesson.photos)}

        run_stage(stage, self.context, work)
        return replace(Student.load(path), config=self.config.network), stage.key

    def prepare(self, number: int, student: Student, before: Lesson, key: str) -> tuple[Lesson, str]:
        """What generation ``number`` learns from: the best masks of ``student`` on the new photos, and kept lessons."""
        soft = self.find_masks(number, student, key)
        scores = self.judge(number, student, before, soft)
        share = 1.0 if self.config.generations.selector == "none" else self.config.generations.keep_share
        kept = select([scores[photo.name] for photo in self.photos], share)
        photos = [photo for photo, stays in zip(self.photos, kept, strict=True) if stays]
        if not photos:
            raise DataError(f"Generation {number} has nothing to learn from: all masks of the one before are empty.")
        masks = self.enhance(number, soft) if self.config.generations.enhance else soft
        examples = [Example(photo.path, mask_path(masks.folder, photo.name)) for photo in photos]
        made = hash_of([masks.key, [photo.name for photo in photos]])
        if not self.config.generations.keep_examples:
            return self.plan(number, examples), made
        seen = {photo.path.resolve() for photo in self.photos}
        kept_on = [example for example in before.photos if example.photo.resolve() not in seen]
        return self.plan(number, [*examples, *kept_on]), hash_of([made, describe_examples(kept_on)])

    def find_masks(self, number: int, student: Student, key: str) -> Stage:
        sigma = value_of(self.config.generations.prior_sigma, number - 1)
        settings = {
            "photos": describe_photos(self.photos),
            "generations.prior_sigma": sigma,
            "seen_px": student.config.seen_px,
        }
        stage = Stage(self.place(number) / "soft", f"generation {number}: soft masks", settings, (key,))

        def work() -> None:
            missing = {photo.name for photo in self.photos if not mask_path(stage.folder, photo.name).exists()}
            paths = [photo.path for photo in self.photos]
            found = find_in_files(
                student,
                paths,
                self.context.threads,
                self.context.world,
                lambda index: self.photos[index].name in missing,
            )
            for index, soft in self.context.console.track(found, len(paths), stage.title, len(paths) - len(missing)):
                write_soft(mask_path(stage.folder, self.photos[index].name), weigh(soft, sigma))

        run_stage(stage, self.context, work)
        return stage

    def judge(self, number: int, student: Student, before: Lesson, soft: Stage) -> Mapping[str, float]:
        """How good each soft mask is, by its photo's name; 0 where nothing of it is likelier than not."""
        selector = self.config.generations.selector
        folder = self.place(number) / "judge"
        names = {"evalseg": ["selector", "evalseg_epochs"]}.get(selector, ["selector"])
        settings = self.config.generations.model_dump(mode="json", include=set(names))
        stage = Stage(folder, f"generation {number}: selection", settings, (soft.key,))

        def work() -> dict[str, object]:
            scores = self.score(student, before, soft, folder, number) if selector == "evalseg" else self.average(soft)
            write_json(folder / "scores.json", scores)
            return {"mean": round(float(np.mean(list(scores.values()))), 4)}

        run_stage(stage, self.context, work)
        scores: dict[str, float] = read_json(folder / "scores.json")
        return scores

    def average(self, soft: Stage) -> dict[str, float]:
        masks = map_threads(
            lambda photo: read_soft(mask_path(soft.folder, photo.name)), self.photos, self.context.threads
        )
        return {photo.name: score_mask(mask) * is_seen(mask) for photo, mask in zip(self.photos, masks, strict=True)}

    def score(self, student: Student, before: Lesson, soft: Stage, folder: Path, number: int) -> dict[str, float]:
        torch.manual_seed(seed_of(self.config.seed, number, 1))
        judge = EvalSegNet()
        title = f"generation {number}: training of EvalSeg-Net"
        epochs = self.config.generations.evalseg_epochs
        lesson = replace(before, epochs=epochs, folder=folder, title=title)
        teach_judge(judge, student.network, lesson, self.context.world, self.context.console)
        save_weights(judge, folder / "evalseg.safetensors")
        return score_photos(judge, student, self.photos, soft.folder, self.context)

    def enhance(self, number: int, soft: Stage) -> Stage:
        folder, title = self.place(number) / "enhanced", f"generation {number}: GrabCut"
        share = self.config.generations.soft_share
        settings = enhance_settings(EnhanceConfig(), "probabilities", 0) | ({"soft_share": share} if share else {})
        stage = Stage(folder, title, settings, (soft.key,))

        def make(photo: Photo) -> None:
            if not mask_path(folder, photo.name).exists():
                write_soft(mask_path(folder, photo.name), snap(photo, mask_path(soft.folder, photo.name), share))

        def work() -> None:
            done = map_threads(make, self.photos, self.context.threads)
            for _ in self.context.console.track(done, len(self.photos), title):
                pass

        run_stage(stage, self.context, work)
        return stage

    def settings(self, *parts: str) -> dict[str, Any]:
        plain = self.config.model_dump(mode="json", include=set(parts))
        chosen = {f"{part}.{name}": value for part in parts for name, value in plain[part].items()}
        return chosen | {"seed": self.config.seed}


def weigh(soft: SoftMask, sigma_share: float) -> SoftMask:
    """Multiply a soft mask by a centered Gaussian and divide it by its maximum, as VideoPCA does with its own.

    Args:
        soft: Shape (h, w), 0 to 1.
        sigma_share: Sigma of the Gaussian, as a share of the shorter side; 0: the mask comes back as it is.

    Returns:
        Shape (h, w), 0 to 1; nothing where the mask is nothing.

    Source: method of the teacher (Stretcu and Leordeanu, BMVC 2015), steps 5 and 7.
    """
    if sigma_share == 0:
        return soft
    weighed = soft * centered_gaussian(*soft.shape, sigma_share)
    divided: SoftMask = weighed / max(float(weighed.max()), 1e-6)
    return divided


def is_seen(soft: SoftMask) -> bool:
    """Whether a soft mask shows anything: some of it is likelier than not."""
    return bool((soft > 0.5).any())


def snap(photo: Photo, soft_path: Path, soft_share: float = 0.0) -> SoftMask:
    """A soft mask snapped to its photo by GrabCut from its scores.

    Args:
        photo: The photo.
        soft_path: Its soft mask, of any size.
        soft_share: Share of the soft mask in the mean of it and of GrabCut's, 0 to 1.

    Returns:
        Shape (H, W), 0 to 1; 0 or 1 if ``soft_share`` is 0.
    """
    image, soft = read_image(photo.path), read_soft(soft_path)
    whole = resize_soft(soft, *image.shape[:2])
    cut = grabcut(image, (whole > 0.5).astype(np.uint8), "probabilities", soft)
    mixed: SoftMask = soft_share * whole + np.float32(1 - soft_share) * cut
    return mixed


@torch.inference_mode()
def score_photos(
    judge: EvalSegNet, student: Student, photos: Sequence[Photo], masks: Path, context: Context
) -> dict[str, float]:
    """The judge's scores of soft masks, 0 to 1, by their photos' names."""
    judge.eval()
    device = next(student.network.parameters()).device
    judge.to(device)

    def load(photo: Photo) -> tuple[Photo, torch.Tensor, torch.Tensor]:
        view = student.view(read_image(photo.path, at_least_px=2 * student.config.seen_px))
        soft = read_soft(mask_path(masks, photo.name))
        return photo, torch.from_numpy(view).permute(2, 0, 1).float()[None] / 255, torch.from_numpy(soft)[None]

    loaded = map_threads(load, photos, context.threads)
    return {
        photo.name: float(judge(view.to(device), soft.to(device))) * is_seen(soft.numpy())
        for photo, view, soft in loaded
    }
