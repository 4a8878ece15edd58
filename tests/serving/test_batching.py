import threading
import time
from concurrent.futures import wait

import numpy as np
import pytest

from coarse2fine.config import PredictCrfConfig
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.serving.batching import Batcher


class Slow(Segmenter):
    """Gives every photo its mean, after the gate opens; remembers its batches."""

    classes, size_px, flip, scales, crf = ("background", "a"), 64, False, (1.0,), PredictCrfConfig()

    def __init__(self) -> None:
        self.batches: list[tuple[tuple[int, int], int]] = []
        self.gate = threading.Event()

    def probabilities(self, batch, shape):
        assert self.gate.wait(10)
        self.batches.append((shape, len(batch)))
        if (batch == 13).all():
            raise RuntimeError("thirteen")
        return np.stack([np.full((2, *shape), one.mean(), np.float32) for one in batch])


@pytest.fixture
def slow():
    return Slow()


def views(value: int, shape: tuple[int, int] = (32, 32)) -> list[np.ndarray]:
    return [np.full((*shape, 3), value, np.uint8)]


def test_batcher__what_waits_shares_a_batch_by_shape(slow):
    batcher = Batcher(slow, batch=3, wait_s=0.0)
    first = batcher.submit(views(1), (32, 32))
    while not first.running():
        time.sleep(0.001)
    shapes = [(32, 32), (64, 32), (32, 32), (32, 32), (32, 32)]
    later = [batcher.submit(views(10 + index, shape), shape) for index, shape in enumerate(shapes)]
    slow.gate.set()
    wait([first, *later], timeout=10)
    assert slow.batches == [((32, 32), 1), ((32, 32), 3), ((64, 32), 1), ((32, 32), 1)]
    assert first.result()[0, 0, 0] == 1
    assert [future.result()[0, 0, 0] for future in later] == [10, 11, 12, 13, 14]
    batcher.close()


def test_batcher__waits_for_others_and_not_for_ever(slow):
    slow.gate.set()
    batcher = Batcher(slow, batch=2, wait_s=0.3)
    began = time.monotonic()
    pair = [batcher.submit(views(1), (32, 32)), batcher.submit(views(2), (32, 32))]
    wait(pair, timeout=10)
    assert time.monotonic() - began < 0.3 and slow.batches == [((32, 32), 2)]
    began = time.monotonic()
    batcher.submit(views(1), (32, 32)).result(timeout=10)
    assert 0.29 < time.monotonic() - began < 5
    batcher.close()


def test_batcher__a_failure_is_that_of_its_batch_alone(slow):
    slow.gate.set()
    batcher = Batcher(slow, batch=1, wait_s=0.0)
    with pytest.raises(RuntimeError, match="thirteen"):
        batcher.submit(views(13), (32, 32)).result(timeout=10)
    assert batcher.is_alive()
    assert batcher.submit(views(5), (32, 32)).result(timeout=10)[1, 0, 0] == 5
    batcher.close()


def test_batcher__close_finishes_what_waits_and_passes_over_who_left(slow):
    batcher = Batcher(slow, batch=1, wait_s=0.0)
    futures = [batcher.submit(views(value), (32, 32)) for value in range(4)]
    assert futures[3].cancel()
    slow.gate.set()
    batcher.close()
    assert [future.result()[0, 0, 0] for future in futures[:3]] == [0, 1, 2]
    assert not batcher.is_alive() and len(slow.batches) == 3
