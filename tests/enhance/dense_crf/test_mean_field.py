"""Marginals of several photos in one call equal those of single photos; test_crf compares with exact mean field."""

import numpy as np
import pytest
import torch

from coarse2fine.config import CrfConfig
from coarse2fine.enhance.dense_crf.mean_field import CrfInput, infer_marginals

CPU = torch.device("cpu")
TRIAL = CrfConfig(steps=4, position_weight=0.75, bilateral_weight=1, bilateral_sigma_px=8, color_sigma=25)
LAST_BITS = 1e-6  # bitwise equal here; another processor may round differently at the end of an array
SHAPES = ((16, 21), (1, 1), (21, 16), (1, 30), (30, 1), (7, 7), (16, 21))


def draw(seed: int, height: int, width: int, classes: int = 3) -> CrfInput:
    """Draw a photo of a few tones with grain, and random class probabilities."""
    rng = np.random.default_rng(seed)
    tones = np.kron(rng.integers(0, 230, (8, 8, 3)), np.ones((4, 4, 1)))[:height, :width]
    image = (tones + rng.integers(0, 25, (height, width, 3))).astype(np.uint8)
    odds = np.exp(rng.normal(0, 1.5, (classes, height, width)))
    return CrfInput((odds / odds.sum(axis=0)).astype(np.float32), image)


@pytest.mark.parametrize("kernel", ["both", "position", "bilateral", "none"])
def test_infer_marginals__batch_equals_single_photos(kernel):
    without = {"position_weight": kernel in ("both", "position"), "bilateral_weight": kernel in ("both", "bilateral")}
    config = TRIAL.model_copy(update={name: float(weight) for name, weight in without.items()})
    problems = [draw(seed, *shape) for seed, shape in enumerate(SHAPES)]
    together = infer_marginals(problems, config, CPU)
    for problem, found in zip(problems, together, strict=True):
        assert found.shape == problem.probabilities.shape and found.dtype == np.float32
        assert np.abs(found - infer_marginals([problem], config, CPU)[0]).max() < LAST_BITS
        changed = np.abs(found - problem.probabilities).max() > 0.05
        assert changed == (kernel != "none") or problem.image.size == 3  # a single pixel has no neighbor except itself


def test_infer_marginals__order_does_not_matter():
    problems = [draw(seed, 12, 17) for seed in range(4)]
    forwards, backwards = infer_marginals(problems, TRIAL, CPU), infer_marginals(problems[::-1], TRIAL, CPU)
    for problem, one, other in zip(problems, forwards, backwards[::-1], strict=True):
        assert max(np.abs(one - other).max(), np.abs(one - infer_marginals([problem], TRIAL, CPU)[0]).max()) < LAST_BITS


def test_infer_marginals__photos_are_independent():
    first, other = draw(0, 16, 21), draw(1, 16, 21)
    opposite = CrfInput(np.ascontiguousarray(first.probabilities[::-1]), first.image)
    beside_itself, _, _ = infer_marginals([first, opposite, opposite], TRIAL, CPU)
    beside_another, _, _ = infer_marginals([first, other, other], TRIAL, CPU)
    assert (beside_itself == beside_another).all()
    assert np.abs(beside_itself - infer_marginals([first], TRIAL, CPU)[0]).max() < LAST_BITS


def test_infer_marginals__different_numbers_of_classes():
    """Softmax adds more classes in another order, so the last bits may differ; measured: by at most 2e-7."""
    problems = [draw(classes, 9 + classes, 25 - classes, classes) for classes in (2, 5, 20, 3)]
    for problem, found in zip(problems, infer_marginals(problems, TRIAL, CPU), strict=True):
        assert found.shape == problem.probabilities.shape and np.allclose(found.sum(axis=0), 1, atol=1e-5)
        alone = infer_marginals([problem], TRIAL, CPU)[0]
        assert np.abs(found - alone).max() < 1e-5 < 0.05 < np.abs(found - problem.probabilities).max()


def test_infer_marginals__zero_probabilities_give_finite_marginals():
    sure = np.zeros((2, 8, 8), np.float32)
    sure[0] = 1
    problem = CrfInput(sure, draw(0, 8, 8).image)
    found, _ = infer_marginals([problem, draw(1, 9, 9, 5)], TRIAL, CPU)
    assert np.isfinite(found).all() and (found[0] > 0.99).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_infer_marginals__batch_on_the_gpu_equals_single_photos_and_cpu():
    cuda = torch.device("cuda")
    problems = [draw(seed, *shape, 2 + seed) for seed, shape in enumerate(SHAPES)]
    for problem, found in zip(problems, infer_marginals(problems, TRIAL, cuda), strict=True):
        assert np.abs(found - infer_marginals([problem], TRIAL, cuda)[0]).max() < 1e-5
        assert np.abs(found - infer_marginals([problem], TRIAL, CPU)[0]).max() < 1e-3
