"""Learning rate schedule."""


def poly_factor(step: int, steps: int, power: float, warmup_share: float = 0.0) -> float:
    """Return the factor of the initial learning rate at a step: a linear warmup times (1 - step / steps) ** power.

    Args:
        step: Optimizer step, 0 to ``steps``.
        steps: Number of optimizer steps.
        power: 0 keeps the rate constant.
        warmup_share: Share of the steps in which the rate rises linearly, 0 to 1.

    Source: DeepLab v2 (Chen et al., TPAMI 2018), section 4.1.
    """
    warmup_steps = warmup_share * steps
    return float(min(1.0, (step + 1) / (warmup_steps + 1)) * max(0.0, 1 - step / steps) ** power)
