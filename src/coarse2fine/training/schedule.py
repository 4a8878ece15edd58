"""Learning rate schedule."""

POLY_POWER = 0.9
"""Power of the decay, as in DeepLab v2; other values were not measured. The paper does not name one for the student."""


def poly_factor(step: int, steps: int, warmup_share: float = 0.0) -> float:
    """Return the factor of the initial learning rate at a step: a linear warmup times a decay.

    The decay is ``(1 - step / steps) ** POLY_POWER``.

    Args:
        step: Optimizer step, 0 to ``steps``.
        steps: Number of optimizer steps.
        warmup_share: Share of the steps in which the rate rises linearly, 0 to 1.

    Source: DeepLab v2 (Chen et al., TPAMI 2018), section 4.1.
    """
    warmup_steps = warmup_share * steps
    return float(min(1.0, (step + 1) / (warmup_steps + 1)) * max(0.0, 1 - step / steps) ** POLY_POWER)
