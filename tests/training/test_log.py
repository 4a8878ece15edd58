import pytest

from coarse2fine.runtime.files import read_csv
from coarse2fine.training.log import COLUMNS, open_log


class Recorder:
    """Stands for `coarse2fine.runtime.metric_loggers.MetricLogger`."""

    def __init__(self) -> None:
        self.rows = []

    def log(self, *values: object) -> None:
        self.rows.append(values)


def test_open_log__writes_every_tenth_step(tmp_path):
    with open_log(tmp_path, 0) as log:
        for step in range(25):
            log(step, 1 / (step + 1), 0.01)
    rows = read_csv(tmp_path / "log.csv", COLUMNS)
    assert [int(row["step"]) for row in rows] == [0, 10, 20]
    assert float(rows[1]["loss"]) == pytest.approx(1 / 11, rel=1e-4) and float(rows[1]["learning_rate"]) == 0.01


def test_open_log__a_resumed_training_replaces_later_rows(tmp_path):
    for first, last, loss in ((0, 41, 1.0), (20, 31, 2.0)):
        with open_log(tmp_path, first) as log:
            for step in range(first, last):
                log(step, loss, 0.01)
    rows = read_csv(tmp_path / "log.csv", COLUMNS)
    assert [(int(row["step"]), float(row["loss"])) for row in rows] == [(0, 1), (10, 1), (20, 2), (30, 2)]


def test_open_log__writes_for_tensorboard_if_it_is_installed(tmp_path):
    pytest.importorskip("tensorboard")
    with open_log(tmp_path, 0) as log:
        log(0, 1.0, 0.01)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_open_log__sends_the_same_rows_to_a_logger(tmp_path):
    recorder = Recorder()
    with open_log(tmp_path, 0, "round 2: training", recorder) as log:
        for step in range(12):
            log(step, 0.5, 0.01)
    expected = {"loss": 0.5, "learning_rate": 0.01}
    assert recorder.rows == [("round-2-training", 0, expected), ("round-2-training", 10, expected)]
