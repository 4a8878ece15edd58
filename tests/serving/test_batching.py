import threading
import time
from concurrent.futures import wait

import numpy as np
import pytest

from coarse2fine.config import PredictCrfConfig
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.serving.batching import Batcher


class MeanSegmenter(Segmenter):
    """Returns the mean of each photo after its gate is opened, and records its batches."""

    classes, size_px, flip, scales, crf = ("background", "a"), 64, False, (1.0,), PredictCrfConfig()
    foreground_first = True

    def __init__(self) -> None:
        self.batches: list[tuple[tuple[int, int], int]] = []
        self.started, self.gate = threading.Event(), threading.Event()

    def run_network(self, batch, shape):
        self.started.set()
        assert self.gate.wait(30)
        self.batches.append((shape, len(batch)))
        if (batch == 13).all():
            raise RuntimeError("thirteen")
        return np.stack([np.full((2, *shape), one.mean(), np.float32) for one in batch])


@pytest.fixture
def segmenter():
    return MeanSegmenter()


def inputs(value: int, shape: tuple[int, int] = (32, 32)) -> list[np.ndarray]:
    return [np.full((*shape, 3), value, np.uint8)]


def test_batcher__queued_photos_of_one_shape_share_a_batch(segmenter):
    batcher = Batcher(segmenter, batch=3, wait_s=0.0)
    first = batcher.submit(inputs(1), (32, 32))
    assert segmenter.started.wait(30)
    shapes = [(32, 32), (64, 32), (32, 32), (32, 32), (32, 32)]
    later = [batcher.submit(inputs(10 + index, shape), shape) for index, shape in enumerate(shapes)]
    segmenter.gate.set()
    wait([first, *later], timeout=30)
    assert segmenter.batches == [((32, 32), 1), ((32, 32), 3), ((64, 32), 1), ((32, 32), 1)]
    assert first.result()[0, 0, 0] == 1
    assert [future.result()[0, 0, 0] for future in later] == [10, 11, 12, 13, 14]
    batcher.close()


def test_batcher__a_full_batch_does_not_wait(segmenter):
    segmenter.gate.set()
    batcher = Batcher(segmenter, batch=2, wait_s=3600.0)
    pair = [batcher.submit(inputs(value), (32, 32)) for value in (1, 2)]
    assert [future.result(timeout=30)[0, 0, 0] for future in pair] == [1, 2]
    assert segmenter.batches == [((32, 32), 2)]
    batcher.close()


def test_batcher__a_photo_waits_for_others_only_for_a_limited_time(segmenter):
    segmenter.gate.set()
    batcher = Batcher(segmenter, batch=2, wait_s=0.05)
    started = time.monotonic()
    batcher.submit(inputs(1), (32, 32)).result(timeout=30)
    assert time.monotonic() - started >= 0.05
    assert segmenter.batches == [((32, 32), 1)]
    batcher.close()


def test_batcher__an_error_affects_only_its_own_batch(segmenter):
    segmenter.gate.set()
    batcher = Batcher(segmenter, batch=1, wait_s=0.0)
    with pytest.raises(RuntimeError, match="thirteen"):
        batcher.submit(inputs(13), (32, 32)).result(timeout=30)
    assert batcher.is_alive()
    assert batcher.submit(inputs(5), (32, 32)).result(timeout=30)[1, 0, 0] == 5
    batcher.close()


def test_batcher__close_computes_queued_photos_except_canceled_ones(segmenter):
    batcher = Batcher(segmenter, batch=1, wait_s=0.0)
    futures = [batcher.submit(inputs(value), (32, 32)) for value in range(4)]
    assert futures[3].cancel()
    segmenter.gate.set()
    batcher.close()
    assert [future.result()[0, 0, 0] for future in futures[:3]] == [0, 1, 2]
    assert not batcher.is_alive() and len(segmenter.batches) == 3
