"""The logic with a stand-in for each client; then the clients themselves, offline, where they are installed."""

import importlib.util
import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from coarse2fine.cli import main
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.runtime.metric_loggers import check_logger, open_logger

SETTINGS = {"seed": 0, "train": {"batch": 6, "optimizer": "adamw"}}
FLAT = {"seed": "0", "train.batch": "6", "train.optimizer": "adamw"}


class FakeWandb(ModuleType):
    """Records what is sent to Weights & Biases."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = ModuleSpec("wandb", None, origin="wandb/__init__.py")
        self.opened, self.sent, self.axes, self.exit_codes = [], [], [], []
        self.Settings = SimpleNamespace

    def init(self, **options: object) -> SimpleNamespace:
        self.opened.append(options)
        return SimpleNamespace(
            id=options["id"] or f"new-{len(self.opened)}",
            log=self.sent.append,
            define_metric=lambda name, step_metric: self.axes.append((name, step_metric)),
            finish=self.exit_codes.append,
        )


class FakeMlflow(ModuleType):
    """Records what is sent to MLflow; it is its own client."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.__spec__ = ModuleSpec("mlflow", None, origin="mlflow/__init__.py")
        self.experiments, self.params, self.sent, self.statuses = [], {}, [], []
        self.MlflowClient = lambda: self

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        return SimpleNamespace(experiment_id=name) if name in self.experiments else None

    def create_experiment(self, name: str) -> str:
        self.experiments.append(name)
        return name

    def create_run(self, experiment_id: str, run_name: str) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id=f"{experiment_id}-{run_name}"))

    def update_run(self, run_id: str, status: str) -> None:
        self.statuses.append((run_id, status))

    def log_batch(self, run_id: str, metrics: list = (), params: list = ()) -> None:
        self.params |= dict(params)
        self.sent += [(run_id, name, value, step) for name, value, _time, step in metrics]

    def set_terminated(self, run_id: str, status: str) -> None:
        self.statuses.append((run_id, status))


@pytest.fixture
def wandb(monkeypatch) -> FakeWandb:
    for name in ("WANDB_PROJECT", "WANDB_NAME", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


@pytest.fixture
def mlflow(monkeypatch) -> FakeMlflow:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    fake, entities = FakeMlflow(), ModuleType("mlflow.entities")
    entities.Param = lambda name, value: (name, value)
    entities.Metric = lambda *values: values
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return fake


def open_in(folder, name, settings=SETTINGS, warn=pytest.fail):
    return open_logger(name, folder, folder / "logger.json", settings, warn)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
@pytest.mark.parametrize("spec", [None, ModuleSpec("found", None)], ids=["missing", "a folder of that name"])
def test_check_logger__a_package_that_is_not_installed(name, spec, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: spec)
    with pytest.raises(
        ConfigError, match=rf"--logger {name} needs {name}, which is not installed: pip install .*\[{name}\]"
    ):
        check_logger(name)
    check_logger(None)


def test_fit__names_a_missing_logger_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SystemExit) as caught:
        main(["fit", str(tmp_path / "no-photos"), "--out", str(tmp_path / "run"), "--logger", "wandb"])
    shown = capsys.readouterr().err
    assert caught.value.code == 2 and shown.startswith("coarse2fine: --logger wandb needs wandb, which is not")
    assert shown.count("\n") == 1 and not (tmp_path / "run").exists()


def test_open_logger__none_opens_nothing(tmp_path):
    with open_in(tmp_path, None) as logger:
        assert logger is None
    assert list(tmp_path.iterdir()) == []


def test_open_logger__wandb_has_its_own_steps_for_each_group(tmp_path, wandb):
    with open_in(tmp_path, "wandb") as logger:
        logger.log("round-1-training", 0, {"loss": 2.0})
        logger.log("round-1-training", 10, {"loss": 1.0})
        logger.log("rounds", 1, {"mIoU": 0.5})
    assert wandb.axes == [("round-1-training/*", "round-1-training/step"), ("rounds/*", "rounds/step")]
    assert wandb.sent == [
        {"round-1-training/step": 0, "round-1-training/loss": 2.0},
        {"round-1-training/step": 10, "round-1-training/loss": 1.0},
        {"rounds/step": 1, "rounds/mIoU": 0.5},
    ]
    opened = wandb.opened[0]
    assert opened["config"] == SETTINGS and opened["project"] == "coarse2fine" and opened["name"] == tmp_path.name
    assert opened["dir"] == str(tmp_path) and wandb.exit_codes == [0]


def test_open_logger__mlflow_gets_flat_settings_and_figures(tmp_path, mlflow):
    with open_in(tmp_path, "mlflow", SETTINGS | {f"more{number}": number for number in range(150)}) as logger:
        logger.log("rounds", 1, {"mIoU": 0.5})
    run = f"coarse2fine-{tmp_path.name}"
    assert len(mlflow.params) == 153 and FLAT.items() <= mlflow.params.items()
    assert mlflow.sent == [(run, "rounds/mIoU", 0.5, 1)] and mlflow.statuses == [(run, "FINISHED")]


def test_open_logger__the_same_settings_continue_a_run_and_others_begin_one(tmp_path, wandb):
    for settings in (SETTINGS, SETTINGS, {"seed": 1}, SETTINGS):
        with open_in(tmp_path, "wandb", settings):
            pass
    assert [one["id"] for one in wandb.opened] == [None, "new-1", None, None]
    assert [one["resume"] for one in wandb.opened] == [None, "allow", None, None]


def test_open_logger__mlflow_continues_a_run_beside_one_of_wandb(tmp_path, mlflow, wandb):
    for name in ("wandb", "mlflow", "mlflow", "wandb"):
        with open_in(tmp_path, name):
            pass
    run = f"coarse2fine-{tmp_path.name}"
    assert mlflow.statuses == [(run, "FINISHED"), (run, "RUNNING"), (run, "FINISHED")]
    assert wandb.opened[1]["id"] == "new-1" and mlflow.experiments == ["coarse2fine"]


def test_open_logger__an_interrupted_run_is_not_finished(tmp_path, wandb, mlflow):
    for name in ("wandb", "mlflow"):
        with pytest.raises(KeyboardInterrupt), open_in(tmp_path, name):
            raise KeyboardInterrupt
    assert wandb.exit_codes == [1] and mlflow.statuses[-1][1] == "KILLED"


def test_open_logger__a_service_that_cannot_be_used_is_one_sentence(tmp_path, wandb, monkeypatch):
    def refuse(**_options: object) -> None:
        raise ValueError("No API key configured.\nmore")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ConfigError, match=r"could not open a run \(No API key configured\)\. Run 'wandb login' first"):
        open_in(tmp_path, "wandb").__enter__()
    assert not (tmp_path / "logger.json").exists()


def test_open_logger__a_service_that_fails_later_is_named_once(tmp_path, mlflow, monkeypatch):
    def fail(*_words: object, **_options: object) -> None:
        raise ConnectionError("no route to host")

    warnings = []
    with open_in(tmp_path, "mlflow", warn=warnings.append) as logger:
        monkeypatch.setattr(mlflow, "log_batch", fail)
        monkeypatch.setattr(mlflow, "set_terminated", fail)
        logger.log("rounds", 0, {"left_out": 1})
        logger.log("rounds", 1, {"left_out": 1})
    assert len(warnings) == 1
    assert warnings[0].startswith("mlflow does not take figures any more (no route to host). The run goes on without")


def test_open_logger__a_damaged_record(tmp_path, wandb):
    (tmp_path / "logger.json").write_text('{"wandb": 1}')
    with pytest.raises(DataError, match=r"logger\.json must hold identifiers of runs"):
        open_in(tmp_path, "wandb").__enter__()


@pytest.mark.slow
def test_open_logger__wandb_itself_writes_files_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with open_in(tmp_path, "wandb") as logger:
        logger.log("rounds", 1, {"mIoU": 0.123456})
    wandb.teardown()  # waits for its process, which writes the file
    identifier = json.loads((tmp_path / "logger.json").read_text())["wandb"]["id"]
    (written,) = tmp_path.glob(f"wandb/offline-run-*/run-{identifier}.wandb")
    content = written.read_bytes()
    assert b"rounds/mIoU" in content and b"0.123456" in content and b"adamw" in content


@pytest.mark.slow
def test_open_logger__mlflow_itself_reads_back_what_it_got(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    for step in (1, 2):  # the second call continues the run
        with open_in(tmp_path, "mlflow") as logger:
            logger.log("rounds", step, {"mIoU": step / 4})
    client = mlflow.MlflowClient()
    identifier = json.loads((tmp_path / "logger.json").read_text())["mlflow"]["id"]
    found = client.get_run(identifier)
    assert found.info.status == "FINISHED" and found.data.params == FLAT
    history = client.get_metric_history(identifier, "rounds/mIoU")
    assert [(one.step, one.value) for one in history] == [(1, 0.25), (2, 0.5)]
