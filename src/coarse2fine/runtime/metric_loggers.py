"""Figures of a run for Weights & Biases or MLflow, sent by their own clients.

The address, the account and the project come from the variables of each service, such as ``WANDB_MODE`` and
``MLFLOW_TRACKING_URI``.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from coarse2fine.errors import ConfigError
from coarse2fine.runtime.extras import PACKAGE, install_command
from coarse2fine.runtime.files import hash_of, read_json_as, write_json

LoggerName: TypeAlias = Literal["wandb", "mlflow"]

Settings: TypeAlias = Mapping[str, Any]
"""Nested settings, as JSON has them."""

_PARAMS_PER_REQUEST = 100
"""Limit of MLflow."""


class _Service(Protocol):
    """One run of a service."""

    identifier: str

    def send(self, group: str, step: int, figures: Mapping[str, float]) -> None: ...

    def end(self, is_finished: bool) -> None: ...


class MetricLogger:
    """Send figures to a service. If that fails, warn once and send no more: the work must not depend on the service.

    Args:
        name: Name of the service.
        service: Its open run.
        warn: Prints a warning.
    """

    def __init__(self, name: LoggerName, service: _Service, warn: Callable[[str], None]) -> None:
        self._name, self._service, self._warn = name, service, warn
        self._has_failed = False

    def log(self, group: str, step: int, figures: Mapping[str, float]) -> None:
        """Send figures of a step.

        Args:
            group: What they belong to, such as ``round-1-training``. Each group has its own steps.
            step: Step, from 0.
            figures: Numbers by name.
        """
        if self._has_failed:
            return
        try:
            self._service.send(group, step, figures)
        except Exception as error:  # each client has its own exceptions, and those of its HTTP library
            self._has_failed = True
            self._warn(
                f"{self._name} does not take figures any more ({_first_line(error)}). The run goes on without it; its "
                "own files have all figures."
            )

    def end(self, is_finished: bool) -> None:
        """Close the run of the service.

        Args:
            is_finished: Whether the work is complete; otherwise it failed, or was interrupted.
        """
        try:
            self._service.end(is_finished)
        except Exception as error:
            if not self._has_failed:
                self._warn(f"{self._name} could not end its run ({_first_line(error)}).")


def check_logger(name: LoggerName | None) -> None:
    """Check that the package of a logger is installed.

    Raises:
        ConfigError: It is not.
    """
    if name is None:
        return
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:  # a folder called wandb or mlflow counts as a package without origin
        raise ConfigError(f"--logger {name} needs {name}, which is not installed: {install_command(name)}")


@contextmanager
def open_logger(
    name: LoggerName | None, folder: Path, record: Path, settings: Settings, warn: Callable[[str], None]
) -> Iterator[MetricLogger | None]:
    """Open a run of a service, or continue the one that an earlier call with the same settings opened.

    Args:
        name: The service; None: nothing is opened.
        folder: Folder of the work; its name is the name of the run.
        record: JSON file that keeps the identifiers of the runs of the services.
        settings: Settings that the service shows beside the figures.
        warn: Prints a warning.

    Yields:
        A logger, or None.

    Raises:
        ConfigError: The package is not installed, or the service cannot be used.
        DataError: The record is damaged.
    """
    if name is None:
        yield None
        return
    check_logger(name)
    known = read_json_as(record, dict[str, dict[str, str]], "identifiers of runs") if record.exists() else {}
    settings_hash, before = hash_of(settings), known.get(name, {})
    identifier = before.get("id") if before.get("settings") == settings_hash else None
    services: dict[LoggerName, Callable[[Path, Settings, str | None], _Service]] = {"wandb": _Wandb, "mlflow": _Mlflow}
    try:
        service = services[name](folder, settings, identifier)
    except Exception as error:
        raise ConfigError(
            f"--logger {name} could not open a run ({_first_line(error)}). {_REMEDIES[name]} To continue without it, "
            f"leave --logger out; to begin a new run of {name}, delete {record}."
        ) from error
    write_json(record, known | {name: {"id": service.identifier, "settings": settings_hash}})
    logger = MetricLogger(name, service, warn)
    is_finished = False
    try:
        yield logger
        is_finished = True
    finally:
        logger.end(is_finished)


_REMEDIES = {
    "wandb": "Run 'wandb login' first, or set WANDB_MODE=offline to write files that 'wandb sync' sends later.",
    "mlflow": "Check MLFLOW_TRACKING_URI, the address of the server or file that takes the figures.",
}


class _Wandb:
    """A run of Weights & Biases; its local files lie in the folder of the work unless ``WANDB_DIR`` is set."""

    def __init__(self, folder: Path, settings: Settings, identifier: str | None) -> None:
        import wandb

        self._groups: set[str] = set()
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PACKAGE),
            name=os.environ.get("WANDB_NAME", folder.absolute().name),
            dir=os.environ.get("WANDB_DIR", str(folder)),
            id=identifier,
            resume="allow" if identifier else None,
            config=dict(settings),
            reinit="create_new",  # the caller may have a run of its own
            settings=wandb.Settings(console="off"),  # the standard output of a command belongs to --json
        )
        self.identifier: str = self._run.id

    def send(self, group: str, step: int, figures: Mapping[str, float]) -> None:
        axis = f"{group}/step"
        if group not in self._groups:
            self._groups.add(group)
            self._run.define_metric(f"{group}/*", step_metric=axis)
        self._run.log({axis: step} | {f"{group}/{name}": value for name, value in figures.items()})

    def end(self, is_finished: bool) -> None:
        self._run.finish(0 if is_finished else 1)


class _Mlflow:
    """A run of MLflow."""

    def __init__(self, folder: Path, settings: Settings, identifier: str | None) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient()
        if identifier:
            self._client.update_run(identifier, status="RUNNING")
            self.identifier = identifier
            return
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PACKAGE)
        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment)
        self.identifier = self._client.create_run(number, run_name=folder.absolute().name).info.run_id
        params = [Param(name, value) for name, value in _flatten(settings)]
        for start in range(0, len(params), _PARAMS_PER_REQUEST):
            self._client.log_batch(self.identifier, params=params[start : start + _PARAMS_PER_REQUEST])

    def send(self, group: str, step: int, figures: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now_ms = time.time_ns() // 1_000_000
        metrics = [Metric(f"{group}/{name}", value, now_ms, step) for name, value in figures.items()]
        self._client.log_batch(self.identifier, metrics=metrics)

    def end(self, is_finished: bool) -> None:
        self._client.set_terminated(self.identifier, "FINISHED" if is_finished else "KILLED")


def _flatten(settings: Settings, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _first_line(error: Exception) -> str:
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)
