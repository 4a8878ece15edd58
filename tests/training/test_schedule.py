import pytest

from coarse2fine.training.schedule import poly_factor


def test_poly_factor__rises_linearly_then_falls_to_zero():
    factors = [poly_factor(step, 100, warmup_share=0.1) for step in range(101)]
    assert factors[0] < 0.1 and factors[100] == 0
    assert factors[50] == pytest.approx(0.5**0.9)
    assert max(factors) == pytest.approx(0.9**0.9, abs=0.02)


def test_poly_factor__without_warmup_starts_at_one():
    assert poly_factor(0, 8) == 1
    assert poly_factor(4, 8) == pytest.approx(0.5**0.9)
