"""Chance that can be repeated."""

import numpy as np


def seed_of(seed: int, *parts: int) -> int:
    """A seed of its own for one part of a run, 0 to 2**32 - 1, such as a round, a step, a photo."""
    return int(np.random.SeedSequence((seed, *parts)).generate_state(1)[0])
