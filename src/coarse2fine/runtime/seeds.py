"""Derived random seeds, so that each part of a run can be repeated on its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def seed_of(seed: int, *parts: int) -> int:
    """Derive the seed of one part of a run.

    Args:
        seed: Seed of the run, at least 0.
        *parts: Numbers that identify the part, such as a round, a step or a photo.

    Returns:
        A seed from 0 to 2**32 - 1; different parts get independent seeds.
    """
    return int(np.random.SeedSequence((seed, *parts)).generate_state(1)[0])


@contextmanager
def torch_seed(seed: int, *parts: int) -> Iterator[None]:
    """Seed torch's CPU generator with :func:`seed_of` inside the block, and restore its state afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(seed, *parts))
        yield
