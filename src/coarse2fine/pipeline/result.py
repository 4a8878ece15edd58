"""Metrics of a round, and the result of a run: model, quality tables, report."""

import shutil
from collections.abc import Mapping, Sequence

from coarse2fine.evaluation.evaluate import evaluate_round
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.pipeline.job import FitJob
from coarse2fine.pipeline.mask_signs import explain_hopeless_masks, measure_signs
from coarse2fine.pipeline.quality_stage import copy_quality_tables, remove_quality_tables
from coarse2fine.pipeline.terminal_summary import show_end, show_round
from coarse2fine.report.facts import list_figures
from coarse2fine.report.next_steps import find_next_steps
from coarse2fine.report.page import write_report
from coarse2fine.runtime.files import hash_of, write_json
from coarse2fine.store.records import read_metrics, read_notes
from coarse2fine.store.stages import Stage


def report_round(
    job: FitJob,
    number: int,
    stages: Sequence[Stage | None],
    left_out: Mapping[str, str],
    segmenter: Segmenter | None,
    is_last: bool,
) -> None:
    """Measure a round against the ground truth, if there is any, write ``metrics.json``, and print a summary.

    Args:
        job: The run.
        number: The round; 0 is before the first.
        stages: The stages of the round, None for one that was not used. One of them is the enhancement.
        left_out: Names of photos that a next round leaves out, with the reason.
        segmenter: The network of the round; None before the first.
        is_last: Whether no round follows.
    """
    if job.context.is_main:
        used = [stage for stage in stages if stage]
        metrics = _measure(job, number, used, left_out, segmenter)
        show_round(job.context.console, metrics, used, len(job.photos), left_out, is_last)
        if not number:
            _warn_of_hopeless_masks(job)
    job.context.barrier()


def _warn_of_hopeless_masks(job: FitJob) -> None:
    folder, max_share = job.run.enhanced(0), job.config.filter.max_share
    signs = measure_signs(job.labeled, folder, read_notes(folder), max_share, job.context.threads)
    if signs and (warning := explain_hopeless_masks(signs, max_share)):
        job.context.console.warn(warning)


def _measure(
    job: FitJob, number: int, stages: Sequence[Stage], left_out: Mapping[str, str], segmenter: Segmenter | None
) -> Mapping[str, object]:
    run, predict = job.run, job.config.predict
    path, enhanced = run.metrics(number), run.enhanced(number)
    masks_key = next(stage.key for stage in stages if stage.folder == enhanced)
    key = hash_of([masks_key, job.ground_truth.fingerprint, predict.model_dump(mode="json"), len(left_out)])
    before = read_metrics(path)
    if before.get("key") == key:
        return before
    folders = (run.refined(number), enhanced) if number else (run.coarse, enhanced)
    masks = {folder.name: folder for folder in folders}
    network = segmenter.with_settings(predict) if segmenter else None
    measured = evaluate_round(job.ground_truth, job.photos, masks, network, job.context.threads)
    metrics = measured | {"key": key, "round": number, "left_out": len(left_out)}
    write_json(path, metrics)
    if job.context.logger:
        job.context.logger.log("rounds", number, list_figures(run, number))
    return metrics


def save_result(job: FitJob, segmenter: TorchSegmenter | None) -> None:
    """Write the finished model, the quality tables of the last round and the report, and print where they are.

    Args:
        job: The run.
        segmenter: The network of the last round that counts; None if round 1 collapsed. Then there is neither a model
            nor a quality table, and those of an earlier call are removed, because they belong to other masks.
    """
    if job.context.is_main:
        run = job.run
        rounds = run.count_rounds(job.config.most_rounds)
        if segmenter:
            segmenter.with_settings(job.config.predict).save(run.model)
            copy_quality_tables(run, rounds)
        else:
            shutil.rmtree(run.model, ignore_errors=True)
            remove_quality_tables(run)
        summary = write_report(run, job.dataset, run.report, job.context.threads)
        show_end(job.context.console, run, rounds, find_next_steps(summary)[0])
    job.context.barrier()
