"""The training loop, with a network so small that a training takes milliseconds."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from coarse2fine.config import TrainConfig
from coarse2fine.errors import Coarse2FineError, ConfigError, DataError
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.processes import World
from coarse2fine.training.loop import train
from coarse2fine.training.sampler import SampleIndex
from coarse2fine.training.schedule import poly_factor

CONFIG = TrainConfig(batch=4, loader_workers=0, precision="fp32", average_decay=0.0, checkpoint_photos=8)


class Points(Dataset[tuple[Tensor, Tensor]]):
    """Random "images" of one pixel; the target is the sum of the channels."""

    def __getitem__(self, index: SampleIndex) -> tuple[Tensor, Tensor]:
        image = torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(100 * index.epoch + index.photo))
        return image, image.sum()


@dataclass
class PointsJob:
    """Learn to sum three numbers. At step ``kill_at``, raise KeyboardInterrupt or send ``kill_by`` to this process."""

    folder: Path
    photos: range = range(8)
    epochs: int = 8
    seed: int = 5
    title: str = "points"
    learning_rate: float = 0.05
    kill_at: int | None = None
    kill_by: signal.Signals | None = None
    config: TrainConfig = CONFIG
    steps_seen: list[Tensor] = field(default_factory=list)

    @property
    def steps(self) -> int:
        return self.config.count_steps(len(self.photos), self.epochs)

    def make_samples(self) -> Points:
        return Points()

    def photo_frequencies(self) -> None:
        return None

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(network.parameters(), lr=self.learning_rate)

    def learning_rate_factor(self, step: int, steps: int) -> float:
        return poly_factor(step, steps)

    def compute_loss(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        if len(self.steps_seen) == self.kill_at:
            if not self.kill_by:
                raise KeyboardInterrupt
            signal.raise_signal(self.kill_by)
        self.steps_seen.append(images)
        return nn.functional.mse_loss(network(images)[:, 0], targets)


def make_network() -> nn.Module:
    """A network with everything that a checkpoint must hold: weights, batch norm statistics, dropout."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(8, 1)
    )


def is_equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(first, second) for first, second in pairs)


@pytest.mark.parametrize("average_decay", [0.0, 0.9])
@pytest.mark.parametrize("kill_at", [0, 5, 15])
def test_train__killed_and_resumed_gives_the_same_weights(tmp_path, average_decay, kill_at):
    config = CONFIG.model_copy(update={"average_decay": average_decay})
    whole, killed, resumed = make_network(), make_network(), make_network()
    loss = train(whole, PointsJob(tmp_path / "whole", config=config), Context())
    with pytest.raises(KeyboardInterrupt):
        train(killed, PointsJob(tmp_path / "parts", kill_at=kill_at, config=config), Context())
    torch.manual_seed(99)
    job = PointsJob(tmp_path / "parts", config=config)
    assert train(resumed, job, Context()) == pytest.approx(loss, abs=0)
    assert len(job.steps_seen) == 16 - kill_at // 2 * 2  # a checkpoint is written every two steps
    assert is_equal(whole, resumed)


def interrupt(_number, _frame):
    raise KeyboardInterrupt


@pytest.fixture
def interrupted_by_sigterm():
    """SIGTERM raises KeyboardInterrupt, as in the command line."""
    before = signal.signal(signal.SIGTERM, interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("interrupted_by_sigterm")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kill_at", [0, 4, 15])
def test_train__a_signal_saves_the_step_and_resumes_from_there_with_the_same_weights(tmp_path, number, kill_at):
    whole, killed, resumed = make_network(), make_network(), make_network()
    config = CONFIG.model_copy(update={"average_decay": 0.9})
    loss = train(whole, PointsJob(tmp_path / "whole", config=config), Context())
    with pytest.raises(KeyboardInterrupt):
        train(killed, PointsJob(tmp_path / "parts", kill_at=kill_at, kill_by=number, config=config), Context())
    job = PointsJob(tmp_path / "parts", config=config)
    assert train(resumed, job, Context()) == pytest.approx(loss, abs=0)
    assert len(job.steps_seen) == 16 - (kill_at + 1)
    assert is_equal(whole, resumed)


def test_train__an_interrupted_training_leaves_no_process_although_its_traceback_is_kept(tmp_path):
    """Python 3.13 keeps the traceback until it has waited for all child processes; workers ignore its signal to end."""
    config = CONFIG.model_copy(update={"loader_workers": 1})
    with pytest.raises(KeyboardInterrupt) as caught:
        train(make_network(), PointsJob(tmp_path, kill_at=3, config=config), Context())
    assert caught.tb and multiprocessing.active_children() == []


TWO_PROCESSES = """
import signal, sys
from pathlib import Path
from test_loop import Context, PointsJob, World, interrupt, make_network, train
from coarse2fine.runtime.processes import joined
rank, folder = int(sys.argv[1]), Path(sys.argv[2])
signal.signal(signal.SIGTERM, interrupt)
world = World(rank, 2, 2)
job = PointsJob(folder, kill_at=5 if rank == 1 else None, kill_by=signal.SIGTERM)
with joined(world, gpu=False):
    try:
        train(make_network(), job, Context(world))
    except KeyboardInterrupt:
        print("stopped after", len(job.steps_seen))
"""


@pytest.mark.slow
def test_train__a_signal_to_one_process_stops_all_after_the_same_step(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    options = {"stdout": subprocess.PIPE, "env": environment, "cwd": Path(__file__).parent}
    started = [
        subprocess.Popen([sys.executable, "-c", TWO_PROCESSES, str(rank), str(tmp_path)], text=True, **options)
        for rank in range(2)
    ]
    assert [process.communicate(timeout=120)[0] for process in started] == ["stopped after 6\n"] * 2
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 6


@pytest.mark.parametrize("content", [b"", b"noise", None])
def test_train__a_damaged_checkpoint_is_one_sentence(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=r"checkpoint\.pt (is damaged, or .* Delete it|must be a regular)"):
        train(make_network(), PointsJob(tmp_path), Context())


def test_train__averaged_weights_survive_a_kill_after_the_last_step(tmp_path):
    config = CONFIG.model_copy(update={"average_decay": 0.9})
    averaged, again, last = make_network(), make_network(), make_network()
    train(averaged, PointsJob(tmp_path / "a", config=config), Context())
    train(again, PointsJob(tmp_path / "a", config=config), Context())  # only the last checkpoint is left
    train(last, PointsJob(tmp_path / "b"), Context())
    assert is_equal(averaged, again)
    assert not torch.allclose(averaged[0].weight, last[0].weight)


def test_train__averages_weights_and_batch_norm_statistics_from_the_first_step_on(tmp_path):
    """Averages by hand: the first step copies the network, each later one moves a tenth of the way."""
    averaged = make_network()
    states = []
    for epochs in (1, 2, 3):  # two steps each; a constant rate makes the shorter trainings a part of the longer
        network = make_network()
        job = PointsJob(tmp_path / str(epochs), epochs=epochs, config=CONFIG.model_copy(update={"batch": 8}))
        job.learning_rate_factor = lambda step, steps: 1.0
        train(network, job, Context())
        states.append(network.state_dict())
    config = CONFIG.model_copy(update={"batch": 8, "average_decay": 0.9})
    job = PointsJob(tmp_path / "averaged", epochs=3, config=config)
    job.learning_rate_factor = lambda step, steps: 1.0
    train(averaged, job, Context())
    for name in ("0.weight", "1.running_mean", "1.running_var"):
        expected = states[0][name]
        for state in states[1:]:
            expected = 0.9 * expected + 0.1 * state[name]
        torch.testing.assert_close(averaged.state_dict()[name], expected)


def test_train__lowers_the_loss_and_writes_the_log(tmp_path):
    first = train(make_network(), PointsJob(tmp_path / "first", epochs=1), Context())
    config = CONFIG.model_copy(update={"checkpoint_photos": 1000})
    assert train(make_network(), PointsJob(tmp_path / "later", epochs=40, config=config), Context()) < 0.5 * first
    assert (tmp_path / "later" / "log.csv").read_text().startswith("step,loss,learning_rate")


def test_train__restores_the_random_state_of_the_process(tmp_path):
    network = make_network()
    state = torch.random.get_rng_state()
    train(network, PointsJob(tmp_path), Context())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_train__shows_how_many_photos_were_seen(tmp_path, capsys):
    context = Context(console=Console())
    train(make_network(), PointsJob(tmp_path, photos=range(7), epochs=3), context)
    assert "points: 24/24 photos" in capsys.readouterr().out


def test_train__reports_a_loss_that_is_not_finite(tmp_path):
    with pytest.raises(Coarse2FineError, match=r"must be finite, but is (nan|inf) at step \d+ .*Lower train.learning"):
        train(make_network(), PointsJob(tmp_path, learning_rate=1e30), Context())


@pytest.mark.parametrize("batch, size", [(1, 1), (3, 2), (2, 2)])
def test_train__rejects_batches_too_small_for_batch_norm(tmp_path, batch, size):
    job = PointsJob(tmp_path, config=CONFIG.model_copy(update={"batch": batch}))
    with pytest.raises(ConfigError, match=rf"multiple of the number of processes \({size}\) .*found {batch}\."):
        train(nn.Identity(), job, Context(World(0, size, size)))
