"""Derived random seeds, so that each part of a run can be repeated on its own."""

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
