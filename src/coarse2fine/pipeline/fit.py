"""Algorithm 1 of the paper: the order of the stages and the recursion, nothing else."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from coarse2fine.config import FitConfig, load_recipe
from coarse2fine.corrections import check_corrections_path, import_corrections, list_corrected
from coarse2fine.corrections.review import REJECTED, apply_review_decisions, describe_rejected, list_rejected
from coarse2fine.errors import DataError
from coarse2fine.evaluation.evaluate import measure
from coarse2fine.evaluation.ground_truth import Truth
from coarse2fine.evaluation.mask_quality import TABLE, read_quality
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.networks.build import build_network
from coarse2fine.networks.weights import load_weights, save_weights
from coarse2fine.pipeline.checks import check, claim
from coarse2fine.pipeline.coarse_stage import make_coarse_masks
from coarse2fine.pipeline.enhance_stage import enhance_masks
from coarse2fine.pipeline.mask_writer import lay_corrected
from coarse2fine.pipeline.quality_stage import judge_masks, publish_quality
from coarse2fine.pipeline.refine_stage import filter_masks, find_empty, refine_masks
from coarse2fine.pipeline.terminal_summary import show_end, show_round
from coarse2fine.report.page import write_report
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.device import be_deterministic, pick_device
from coarse2fine.runtime.files import hash_of, read_json, write_json
from coarse2fine.runtime.processes import find_world, joined
from coarse2fine.runtime.seeds import seed_of
from coarse2fine.store.fingerprints import (
    coarse_settings,
    describe_given,
    describe_photos,
    enhance_settings,
    refine_settings,
    training_settings,
    value_of,
)
from coarse2fine.store.lock import hold_folder
from coarse2fine.store.run import Run
from coarse2fine.store.stages import Stage, run_stage
from coarse2fine.training.loop import Round, train_round
from coarse2fine.types import Dataset, Photo


def fit(
    data: Path | str,
    out: Path | str,
    settings: FitConfig | None = None,
    truth: Sequence[Path | str] = (),
    quiet: bool = True,
    start_from: Path | str | None = None,
) -> Run:
    """Turn photos with one label each into masks and a network; go on where an earlier call stopped.

    Args:
        data: Class folders, or a CSV or Parquet manifest with the columns path and label.
        out: The run folder.
        settings: Every setting; default: the recipe ``small``.
        truth: For measuring only: folders with ``images`` and ``masks``, or with true masks named like the photos; or a
            public data set, such as ``VOCdevkit/VOC2012`` (docs/datasets.md).
        quiet: Print nothing but warnings.
        start_from: Masks that people corrected: a folder of masks named like the photos, or an export of Label Studio
            or CVAT. They are kept in the run folder, and every stage leaves them as they are.

    Returns:
        The run folder's places.

    Raises:
        ConfigError: Settings cannot work.
        DataError: The photos or the run folder cannot be used.

    Source: the paper, Algorithm 1.
    """
    world = find_world()
    context = Context(world, Console(quiet, silent=world.rank > 0))
    config, run = settings or load_recipe("small"), Run(Path(out))
    be_deterministic()
    given = None if start_from is None else Path(start_from)
    if given:
        check_corrections_path(given)
    with joined(world, gpu=pick_device().type == "cuda"):
        listed, truths = check(Path(data), run, config, [Path(path) for path in truth])
        with hold_folder(run.root) if context.is_main else nullcontext():
            dataset = claim(Path(data), listed, run, config, context)
            if context.is_main:
                apply_review_decisions(run.review, dataset.photos, run.corrected, context.console)
            if given and context.is_main:
                import_corrections(given, dataset, run.corrected, context.console)
            context.barrier()
            corrected = list_corrected(dataset.photos, run.corrected)
            rejected = list_rejected(dataset.photos, run.corrected)
            _Fit(run, dataset, config, context, truths, corrected, rejected).go()
    return run


@dataclass(frozen=True)
class _Fit:
    """One run: its places, photos and settings, who works, the truth to measure with, what people decided."""

    run: Run
    dataset: Dataset
    config: FitConfig
    context: Context
    truth: Truth
    corrected: Sequence[Photo] = ()
    rejected: Sequence[str] = ()

    def go(self) -> None:
        masks = self.enhance(0, self.make_coarse())
        left_out = self.find_empty(masks)
        self.report(0, [masks], left_out)
        judged = None
        for number in range(1, self.config.rounds + 1):
            trained, segmenter = self.train(number, masks, left_out)
            refined = self.refine(number, trained, segmenter)
            masks = self.enhance(number, refined)
            judged = self.judge(number, masks, judged)
            left_out = self.filter(number)
            self.report(number, [trained, refined, masks, judged], left_out, segmenter)
        self.save(segmenter)

    def make_coarse(self) -> Stage:
        config, photos = self.config.coarse, self.dataset.photos
        scores = self.run.scores(0) if self.config.keeps_scores(0) else None
        settings = coarse_settings(config, scores is not None) | {"photos": describe_photos(photos)}
        if config.folder and config.method == "folder":
            settings["given masks"] = describe_given(photos, config.folder)
        if self.corrected:
            settings["corrected masks"] = (
                f"{len(self.corrected)} ({describe_given(self.corrected, self.run.corrected)})"
            )
        stage = Stage(self.run.coarse, "coarse masks", settings)
        self.make_masks(stage, lambda: make_coarse_masks(photos, stage.folder, config, self.context, scores))
        return stage

    def make_masks(self, stage: Stage, work: Callable[[], None]) -> None:
        """Do a stage of masks, which makes those that nobody corrected."""

        def make() -> None:
            lay_corrected(self.corrected, self.run.corrected, stage.folder, self.context)
            work()

        run_stage(stage, self.context, make)

    def find_empty(self, masks: Stage) -> dict[str, str]:
        found = find_empty(self.dataset.photos, masks.folder, self.context) - {photo.name for photo in self.corrected}
        return dict.fromkeys(found, "foreground is empty") | dict.fromkeys(self.rejected, REJECTED)

    def enhance(self, number: int, rough: Stage) -> Stage:
        config, photos = self.config.enhance, self.dataset.photos
        if number and not config.between_rounds:
            config = config.model_copy(update={"method": "none"})
        start = self.config.start_of(number)
        settings = enhance_settings(config, start, self.config.seed)
        stage = Stage(self.run.enhanced(number), _title(number, "enhancement"), settings, (rough.key,))
        scores = self.run.scores(number) if self.config.keeps_scores(number) else None
        self.make_masks(
            stage,
            lambda: enhance_masks(
                photos, rough.folder, stage.folder, config, start, self.config.seed, self.context, stage.title, scores
            ),
        )
        return stage

    def train(self, number: int, masks: Stage, left_out: Mapping[str, str]) -> tuple[Stage, TorchSegmenter]:
        config, folder = self.config, self.run.training(number)
        photos = [photo for photo in self.dataset.photos if photo.name not in left_out]
        if not photos:
            raise DataError(
                f"Round {number} needs at least one photo to train on, but the masks of all were left out (see "
                f"{self.run.round(number - 1)}); widen refine.min_share and refine.max_share, change "
                "coarse.method, or reject fewer in review."
            )
        settings = training_settings(config, number) | describe_rejected(self.rejected)
        stage = Stage(folder, _title(number, "training"), settings, (masks.key,))
        torch.manual_seed(seed_of(config.seed, number, 0))
        network = build_network(config.network, len(self.dataset.classes))
        if number > 1 and config.train.start == "warm":
            load_weights(network, self.run.weights(number - 1))
        task = Round(
            config.network.encoder,
            photos,
            masks.folder,
            config.train,
            value_of(config.train.epochs, number),
            seed_of(config.seed, number),
            folder,
            stage.title,
        )

        def work() -> dict[str, object]:
            loss = train_round(network, task, self.context.world, self.context.console)
            if self.context.is_main:
                save_weights(network, self.run.weights(number))
            return {"loss": round(loss, 5), "photos": len(photos)}

        run_stage(stage, self.context, work)
        load_weights(network, self.run.weights(number))  # in every process: each has its own batch norm statistics
        view = (config.refine.flip, config.refine.scales, config.train.precision)
        return stage, TorchSegmenter(network, self.dataset.classes, config.network, config.view_px, *view).ready()

    def refine(self, number: int, trained: Stage, segmenter: TorchSegmenter) -> Stage:
        config, photos = self.config.refine, self.dataset.photos
        scores = self.run.scores(number) if self.config.keeps_scores(number) else None
        settings = refine_settings(config, segmenter.size_px, keeps_scores=scores is not None)
        stage = Stage(self.run.refined(number), _title(number, "refined masks"), settings, (trained.key,))
        self.make_masks(
            stage,
            lambda: refine_masks(photos, segmenter, stage.folder, config, self.context, stage.title, scores),
        )
        return stage

    def judge(self, number: int, masks: Stage, before: Stage | None) -> Stage:
        inputs = [stage.key for stage in (masks, before) if stage]
        return judge_masks(self.run, self.dataset, number, inputs, self.context)

    def filter(self, number: int) -> dict[str, str]:
        config, photos = self.config.refine, self.dataset.photos
        qualities = read_quality(self.run.quality(number) / TABLE) if config.drop_worst else []
        reasons = filter_masks(photos, self.run.refined(number), config, self.context, qualities)
        reasons |= dict.fromkeys([photo.name for photo in self.corrected]) | dict.fromkeys(self.rejected, REJECTED)
        if self.context.is_main:
            write_json(self.run.round(number) / "kept.json", reasons)
        return {name: reason for name, reason in reasons.items() if reason}

    def report(
        self, number: int, stages: Sequence[Stage], left_out: Mapping[str, str], segmenter: TorchSegmenter | None = None
    ) -> None:
        if self.context.is_main:
            path, enhanced = self.run.metrics(number), self.run.enhanced(number)
            last = next(stage.key for stage in stages if stage.folder == enhanced)
            key = hash_of([last, self.truth.key, self.config.predict.model_dump(mode="json"), len(left_out)])
            figures = read_json(path) if path.exists() else {}
            if figures.get("key") != key:
                folders = (self.run.refined(number), enhanced) if number else (self.run.coarse, enhanced)
                masks = {folder.name: folder for folder in folders}
                view = self.last_view(segmenter) if segmenter else None
                figures = measure(self.truth, self.dataset.photos, masks, view, self.context.threads)
                write_json(path, figures | {"key": key, "round": number, "left_out": len(left_out)})
            show_round(self.context.console, number, figures, stages, len(self.dataset.photos), left_out)
        self.context.barrier()

    def last_view(self, segmenter: TorchSegmenter) -> TorchSegmenter:
        return segmenter.seen_with(self.config.predict)

    def save(self, segmenter: TorchSegmenter) -> None:
        if self.context.is_main:
            self.last_view(segmenter).save(self.run.model)
            publish_quality(self.run, self.config.rounds)
            write_report(self.run, self.dataset, self.run.report, self.context.threads)
            show_end(self.context.console, self.run, self.config.rounds)
        self.context.barrier()


def _title(number: int, what: str) -> str:
    return f"round {number}: {what}" if number else what
