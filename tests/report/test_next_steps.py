import shlex

import pytest

from coarse2fine.evaluation.quality_table import read_quality, write_quality
from coarse2fine.report.next_steps import find_next_steps, list_doubtful
from coarse2fine.report.run_summary import read_run_summary
from coarse2fine.runtime.files import read_json, write_json, write_text

CATS = {"cat": [f"cat/{index:02}" for index in range(25)]}


@pytest.fixture
def draw_good_run(draw_run):
    """Draws a run whose masks have high scores, and none is left out."""

    def draw(names=CATS, rounds=2, **options):
        run, dataset = draw_run(names, rounds=rounds, **options)
        for number in range(1, rounds + 1):
            table = run.quality(number) / "quality.csv"
            if table.exists():
                write_quality(table, [one.__class__(**{**vars(one), "score": 0.9}) for one in read_quality(table)])
                write_json(run.filter_file(number), dict.fromkeys((photo.name for photo in dataset.photos), None))
        return run, dataset

    return draw


def steps_of(run, dataset):
    return find_next_steps(read_run_summary(run, dataset))


def commands_of(run, dataset) -> list[list[str]]:
    """The commands without the run folder, so that they can be compared."""
    named = [shlex.split(step.command) for step in steps_of(run, dataset)]
    return [[word.replace(str(run.root), "RUN").replace(str(run.root.parent), "DIR") for word in one] for one in named]


FIT = ["coarse2fine", "fit", "DIR/photos", "--out", "RUN", "--config", "RUN/config.toml"]
PREDICT = ["coarse2fine", "predict", "RUN", "PHOTOS", "--out", "RUN-predicted"]
EXPORT = ["coarse2fine", "export", "RUN", "--format", "coco", "--out", "RUN-coco"]


def test_find_next_steps__good_masks_are_used(draw_good_run):
    run, dataset = draw_good_run(measured=False)
    assert commands_of(run, dataset) == [PREDICT, EXPORT]
    assert list_doubtful(read_run_summary(run, dataset)) == []


def test_find_next_steps__an_unfinished_run_is_resumed(draw_good_run):
    run, dataset = draw_good_run(done=1)
    assert commands_of(run, dataset) == [FIT]
    write_json(run.photos, read_json(run.photos) | {"negatives": "/n o"})
    assert commands_of(run, dataset) == [[*FIT, "--negatives", "/n o"]]
    assert "'/n o'" in steps_of(run, dataset)[0].command  # quoted for the shell


def test_find_next_steps__doubtful_masks_are_reviewed_and_fit_uses_the_decisions(draw_run):
    run, dataset = draw_run(CATS)  # scores rise from 1/26 to 25/26, and cat/00 is left out, too
    assert list_doubtful(read_run_summary(run, dataset)) == [f"cat/{index:02}" for index in range(10)]
    steps = steps_of(run, dataset)
    assert steps[0].text.startswith("10 of 25 masks are doubtful (score below 0.4 or left out of training). ")
    assert commands_of(run, dataset)[:2] == [["coarse2fine", "app", "RUN"], FIT]
    assert commands_of(run, dataset)[-2:] == [PREDICT, EXPORT]


def test_find_next_steps__a_few_doubtful_masks_come_last(draw_good_run):
    run, dataset = draw_good_run()
    write_json(run.filter_file(2), {"cat/00": "foreground 99 % is above 80 %"})
    assert commands_of(run, dataset)[-4:] == [PREDICT, EXPORT, ["coarse2fine", "app", "RUN"], FIT]
    assert steps_of(run, dataset)[-2].text.startswith("1 of 25 masks is doubtful")


def test_find_next_steps__few_photos_need_more_in_a_new_run(draw_good_run):
    run, dataset = draw_good_run({**CATS, "dog": ["dog/0"]})
    run.root.with_name("run-2").mkdir()
    step, first = steps_of(run, dataset)[0], commands_of(run, dataset)[0]
    assert step.text.startswith(f"Fewer than 10 photos: dog (1). Add photos to {run.root.parent / 'photos'};")
    assert first == [*FIT[:4], "RUN-3", *FIT[5:]]


def test_find_next_steps__still_rising_adds_a_round(draw_good_run):
    run, dataset = draw_good_run()
    for number, miou in ((1, 0.5), (2, 0.55)):
        evaluation = {"mean_iou": miou, "iou": {"background": 0.9, "cat": 0.4}, "photos": 1}
        write_json(run.metrics(number), {"round": number, "left_out": 0, "evaluation": evaluation})
    step = steps_of(run, dataset)[0]
    assert step.text == "The mIoU still rose in the last round, from 0.500 to 0.550. Add a round:"
    assert commands_of(run, dataset)[0] == [*FIT, "--rounds", "3"]


@pytest.mark.parametrize("method, other", [("box", "student"), ("student", "saliency")])
@pytest.mark.parametrize("number", [1, 2])
def test_find_next_steps__a_collapsed_run_names_longer_training_and_another_coarse_method(
    draw_good_run, number, method, other
):
    run, dataset = draw_good_run(rounds=2, done=number - 1)
    run.collapsed(number).mkdir()
    write_text(run.config, run.config.read_text().replace('"box"', f'"{method}"'))
    steps, commands = steps_of(run, dataset), commands_of(run, dataset)
    assert steps[0].text.startswith(f"Round {number} collapsed: most of its refined masks covered nearly nothing")
    assert ("there is no network" in steps[0].text) == (number == 1)
    assert commands[0] == [*FIT, "--train.min-steps", "300"]
    assert f"than {method}, in a new run" in steps[1].text
    assert commands[1] == [*FIT[:4], "RUN-2", *FIT[5:], "--coarse.method", other]
    assert (PREDICT in commands) == (number == 2) and commands[-1] == EXPORT
