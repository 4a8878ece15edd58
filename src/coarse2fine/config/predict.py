"""Settings of predictions: those of the refined masks in each round, and those of the finished network."""

from typing import Annotated, Self

from pydantic import Field

from coarse2fine.config.base import PositiveFloat, PositiveInt, Role, Settings
from coarse2fine.config.enhance import CrfConfig


class PredictConfig(Settings):
    """Predictions of the refined masks and of the finished network; options of ``predict`` override them."""

    size_px: Annotated[PositiveInt | None, Role.RESOLVED] = Field(
        None,
        description="longer side to which photos are resized for the network, also for the refined masks; default: "
        "train.resize_px; masks always have the size of the photo",
    )
    flip: bool = Field(
        True, description="average the probabilities with those of the mirrored photo, also for the refined masks"
    )
    scales: tuple[PositiveFloat, ...] = Field(
        (0.75, 1.0, 1.25),
        min_length=1,
        description="average the probabilities over these scales of the photo, also for the refined masks",
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
