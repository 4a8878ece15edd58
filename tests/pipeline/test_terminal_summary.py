from pathlib import Path

from coarse2fine.config import FitConfig
from coarse2fine.pipeline.terminal_summary import show_end, show_round, show_start
from coarse2fine.report.next_steps import NextStep
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.files import write_json
from coarse2fine.store.run import Run
from coarse2fine.store.stages import Stage
from coarse2fine.types import Dataset, Photo, Skipped


def test_show_start__names_what_is_left_out(tmp_path, capsys):
    photos = tuple(Photo(tmp_path / f"{index}.jpg", f"cat/{index}", (1,)) for index in range(6))
    skipped = tuple(Skipped(Path(f"bad{index}.jpg"), "empty file (0 bytes)") for index in range(25))
    show_start(Console(), Dataset(("background", "cat", "dog"), photos, skipped), FitConfig(), tmp_path, Run(tmp_path))
    shown = capsys.readouterr()
    assert "6 photos of 2 classes" in shown.out
    assert "Fewer than 10 photos: cat (6), dog (0). " in shown.err
    assert (
        "25 files or folders skipped" in shown.err
        and "bad19.jpg: empty file" in shown.err
        and "bad20.jpg" not in shown.err
    )
    assert "photos.json" in shown.err


def test_show_round__figures_reasons_and_times(tmp_path, capsys):
    stage = Stage(tmp_path / "enhanced", "round 1: enhancement", {})
    stage.begin()
    stage.finish(75.0)
    write_json(stage.folder / "notes.json", {"a": "unchanged: GrabCut found no foreground"})
    judged = Stage(tmp_path / "quality", "round 1: quality", {})
    judged.begin()
    judged.finish(2.0, quality=0.6543)
    figures = {
        "round": 1,
        "training_masks_iou": {"enhanced": 0.6, "refined": 0.5},
        "training_masks_measured": 3,
        "evaluation": {"mean_iou": 0.4321, "iou": {"background": 0.4, "cat": 0.46}, "photos": 7},
    }
    left_out = {"x": "foreground 0.4 % is below 1 %", "y": "foreground 0.1 % is below 1 %"}
    show_round(Console(), figures, [stage, judged], 10, left_out, is_last=False)
    shown = capsys.readouterr().out
    for text in (
        "after round 1",
        "0.432",
        "kept for the next round",
        "8 of 10",
        "2: foreground below 1 % of the photo",
        "1 min 15 s",
        "0.654",
        "unchanged: GrabCut found no foreground",
    ):
        assert text in shown
    assert shown.index("refined masks") < shown.index("enhanced masks")
    show_round(Console(), figures, [stage, judged], 10, left_out, is_last=True)
    shown = capsys.readouterr().out
    assert "next round" not in shown and "left out of exports" in shown and "2 of 10" in shown


def test_show_end__how_the_figures_went(tmp_path, capsys):
    run = Run(tmp_path)
    write_json(run.metrics(0), {"training_masks_iou": {"coarse": 0.3, "enhanced": 0.45}, "left_out": 0, "round": 0})
    write_json(
        run.metrics(1),
        {
            "training_masks_iou": {"refined": 0.5, "enhanced": 0.6},
            "evaluation": {"mean_iou": 0.55, "iou": {"background": 0.5, "cat": 0.6}, "photos": 3},
            "left_out": 4,
            "round": 1,
        },
    )
    show_end(Console(), run, 1, NextStep("Find all classes in new photos:", f"coarse2fine predict {tmp_path} PHOTOS"))
    shown = capsys.readouterr().out
    assert all(figure in shown for figure in ("0.300", "0.450", "0.500", "0.600", "0.550"))
    assert "before enhancement" in shown and "after enhancement" in shown and "0 (coarse)" in shown
    assert (
        "next: Find all classes" in shown
        and f"coarse2fine predict {tmp_path} PHOTOS" in shown
        and f"report: {run.report}" in shown
    )
