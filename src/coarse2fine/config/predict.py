"""Settings of predictions: those of the refined masks in each round, and those of the finished network."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field

from coarse2fine.config.base import PositiveInt, Role, Scales, Settings
from coarse2fine.config.enhance import CrfConfig
from coarse2fine.errors import ConfigError

MAX_INPUT_PX = 4096
"""Longer side of the input of a network, at most: 17 megapixels, for which a network takes gigabytes of memory."""


def check_input_size(name: str, size_px: int, scales: Sequence[float]) -> None:
    """Check the longer side of the largest input of a network.

    Args:
        name: Name of the setting of the size, for the error message.
        size_px: Longer side at scale 1.
        scales: Factors of the size.

    Raises:
        ConfigError: It is larger than `MAX_INPUT_PX`.
    """
    largest = size_px * max(scales)
    if largest > MAX_INPUT_PX:
        raise ConfigError(
            f"{name} times the largest of predict.scales (and of network.scales) must be at most {MAX_INPUT_PX} "
            f"(found {largest:g}); use a smaller size or smaller scales."
        )


class PredictConfig(Settings):
    """Predictions of the refined masks and of the finished network; options of ``predict`` override them."""

    size_px: Annotated[PositiveInt | None, Role.RESOLVED] = Field(
        None,
        description="longer side to which photos are resized for the network, also for the refined masks; default: "
        "train.resize_px; masks always have the size of the photo",
    )
    flip: bool = Field(
        True,
        description="let the network also see the photo mirrored, also for the refined masks: with one scale, average "
        "both views; with several scales, mirror the photo at every second one",
    )
    scales: Scales = Field(
        (0.75, 1.25),
        description="average the probabilities over these scales of the photo, also for the refined masks",
    )
    foreground_first: Annotated[bool, Role.NO_EFFECT] = Field(
        True,
        description="compare the probability of background with the geometric mean of two others: of all other classes "
        "together, and of the most probable one of them; so an object is not taken for background if only its class is "
        "uncertain. false: each pixel has its most probable class (the paper). No effect on the refined masks",
    )
    crf: Annotated[bool, Role.NO_EFFECT] = Field(
        False,
        description="align the masks of the finished network, not the refined masks, with image edges by a fully "
        "connected CRF with the parameters of DeepLab v2",
    )


class PredictCrfConfig(CrfConfig):
    """The CRF of a finished network: whether it is used, and its parameters."""

    on: bool = Field(False, description="use the CRF; otherwise the masks are made from the network's probabilities")

    def with_switch(self, on: bool | None) -> Self:
        """Return the same parameters, switched on or off; ``None``: unchanged."""
        return self if on is None else self.model_copy(update={"on": on})
