"""Algorithm 1 of the paper: the order of the stages, and the recursion."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from coarse2fine.config import FitConfig, load_recipe
from coarse2fine.corrections import check_corrections_path, import_corrections, list_corrected
from coarse2fine.corrections.review import apply_review_decisions, list_rejected
from coarse2fine.pipeline.checks import check_inputs, prepare_run_folder, unpack_data
from coarse2fine.pipeline.coarse_choice import choose_coarse_method
from coarse2fine.pipeline.coarse_stage import run_coarse_stage
from coarse2fine.pipeline.collapse import explain_collapse, restore_round, undo_round, warn_of_lost_classes
from coarse2fine.pipeline.early_end import end_early, forget_early_end, has_converged
from coarse2fine.pipeline.enhance_stage import run_enhance_stage
from coarse2fine.pipeline.job import FitJob
from coarse2fine.pipeline.linear_stage import run_linear_stage
from coarse2fine.pipeline.quality_stage import run_quality_stage
from coarse2fine.pipeline.refine_stage import leave_out_empty, leave_out_filtered, run_refine_stage
from coarse2fine.pipeline.result import report_round, save_result
from coarse2fine.pipeline.train_stage import run_train_stage
from coarse2fine.pipeline.working_size import resolve_size
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.device import Device, computing_on, deterministic_algorithms, pick_device
from coarse2fine.runtime.metric_loggers import LoggerName, check_logger, open_logger
from coarse2fine.runtime.processes import find_world, joined
from coarse2fine.runtime.threads import torch_threads
from coarse2fine.store.lock import hold_folder
from coarse2fine.store.run import Run


def fit(
    data: Path | str,
    out: Path | str,
    settings: FitConfig | None = None,
    ground_truth: Sequence[Path | str] = (),
    quiet: bool = True,
    start_from: Path | str | None = None,
    negatives: Path | str | None = None,
    device: Device = "auto",
    threads: int | None = None,
    logger: LoggerName | None = None,
) -> Run:
    """Turn photos with class labels into masks and a trained network. Resume where an earlier call stopped.

    Args:
        data: Folder with one sub-folder of photos per class, or a CSV or Parquet table with the columns path and label.
            A photo of several classes has a label such as ``cat|person``, or lies in several class folders. In a table,
            an empty label means none of the classes. Or another layout of docs/datasets.md: archives are unpacked into
            the run folder.
        out: The run folder. All results go there.
        settings: All settings; default: the recipe ``small``.
        ground_truth: Masks to measure with; they never train. Folders with ``images`` and ``masks``, folders of masks
            named like the photos, or a public data set such as ``VOCdevkit/VOC2012`` (docs/datasets.md).
        quiet: Print only warnings.
        start_from: Masks that people corrected: a folder of masks named like the photos, or an export of Label Studio
            or CVAT. They are copied to the run folder, and every stage uses them unchanged.
        negatives: Folder of photos that show none of the classes. They train as background in every round.
        device: Device that computes networks; ``auto``: the CUDA GPU if the machine has one.
        threads: CPU threads; None: one per core. Several processes on one machine share them.
        logger: Service that also takes the figures of trainings and rounds, through the package of this name.

    Returns:
        The paths in the run folder.

    Raises:
        ConfigError: Settings contradict each other, or the logger cannot be used.
        DataError: The photos or the run folder cannot be used.

    Source: the paper, Algorithm 1.
    """
    check_logger(logger)
    world = find_world()
    context = Context(world, Console(quiet, silent=world.rank > 0))
    config, run = settings or load_recipe("small"), Run(Path(out))
    masks = None if start_from is None else Path(start_from)
    without_class = None if negatives is None else Path(negatives)
    if masks:
        check_corrections_path(masks)
    with (
        computing_on(device, threads),
        torch_threads(threads and max(1, threads // world.local_size)),
        deterministic_algorithms(),
        joined(world, gpu=pick_device().type == "cuda"),
    ):
        paths = [Path(path) for path in ground_truth]
        photos = unpack_data(Path(data), run, context)
        listed, opened_ground_truth = check_inputs(photos, run, config, paths, without_class)
        with hold_folder(run.root) if context.is_main else nullcontext():
            dataset = prepare_run_folder(photos, listed, run, config, context, without_class)
            if context.is_main:
                apply_review_decisions(run.review, dataset.photos, run.corrected, context.console)
                if masks:
                    import_corrections(masks, dataset, run.corrected, context.console)
            context.barrier()
            corrected = list_corrected(dataset.photos, run.corrected)
            rejected = list_rejected(dataset.photos, run.corrected)
            config = resolve_size(config, dataset.photos)
            shown = config.model_dump(mode="json")
            opened = logger if context.is_main else None
            with open_logger(opened, run.root, run.logger, shown, context.console.warn) as metric_logger:
                context = replace(context, logger=metric_logger)
                run_rounds(FitJob(run, dataset, config, context, opened_ground_truth, corrected, rejected))
    return run


def run_rounds(job: FitJob) -> None:
    """Run all stages of all rounds: Algorithm 1 of the paper.

    1. Compute a coarse mask of every photo: its foreground, without labels.
    2. Correct their soft masks by a linear model of the features of all photos, and enhance them by GrabCut. Give
       their foreground the class index of the photo's label.
    3. Leave out the photos with an empty mask.
    4. Repeat for each round:
    5.     Train a segmentation network on the photos that are not left out, and their masks.
    6.     Predict every photo, also those that were left out. Keep only the pixels predicted as the class of the photo;
           all others become background.
    7.     Balance the size of the soft masks, and enhance these refined masks as in line 2. They are the masks of the
           next round. In the last round, start from the mean of the soft masks of all rounds, and correct it by the
           mean of the linear models of all rounds.
    8.     Leave out of the next round the photos whose refined mask covers less than 1 % or more than 80 % of them. A
           photo that was left out comes back if its next refined mask is within these limits.
    9.     End with the round before if this leaves out most of the photos that the network was trained on.
    10.    If the masks hardly changed, the next round is the last one.

    Photos without a label have an empty mask from the start, which trains as background in every round: only line 5
    uses them. If a photo has several labels, all of its foreground is ignored in round 1; line 6 gives each pixel the
    most probable of its classes.

    Settings can replace GrabCut (``enhance.method``), the rule of line 6 (``refine.constrain``) and the limits of line
    8 (``filter``). Photos that a person rejected are left out of every round.

    Source: the paper, Algorithm 1; lines 3, 9 and 10, the linear model, the balance of size, the mean in line 7 and the
    estimated quality of masks are ours.
    """
    job = choose_coarse_method(job)
    coarse = run_coarse_stage(job)  # line 1
    linear = run_linear_stage(job, 0, coarse)
    masks = run_enhance_stage(job, 0, coarse, linear)  # line 2
    left_out = leave_out_empty(job, masks)  # line 3
    report_round(job, 0, [linear, masks], left_out, None, False)
    quality = network = None
    last = forget_early_end(job)
    for number in range(1, last + 1):  # line 4
        restore_round(job, number)
        length_of = job.config.most_rounds if number == last else number
        trained, new_network = run_train_stage(job, number, masks, left_out, length_of)  # line 5
        refined = run_refine_stage(job, number, trained, new_network)  # line 6
        linear = run_linear_stage(job, number, refined)
        masks = run_enhance_stage(job, number, refined, linear, number == last)  # line 7
        quality = run_quality_stage(job, number, masks, quality)
        before, left_out = left_out, leave_out_filtered(job, number)  # line 8
        report_round(
            job,
            number,
            [trained, refined, linear, masks, quality],
            left_out,
            new_network,
            number == last,
        )
        if why := explain_collapse(job, before, left_out):  # line 9
            undo_round(job, number, why)
            break
        network = new_network
        warn_of_lost_classes(job, before, left_out)
        if number == last:
            break
        if number + 1 < last and has_converged(job, quality):  # line 10
            last = end_early(job, number + 1)
    save_result(job, network)
