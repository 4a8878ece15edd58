"""Settings of the refined masks, and of the filter that selects the photos of the next round."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import Settings, Share
from coarse2fine.errors import ConfigError


class RefineConfig(Settings):
    """Refined masks: the network's class probabilities, constrained to the label of the photo."""

    constrain: Literal["label", "pair", "foreground"] = Field(
        "foreground",
        description="pixels that become foreground: label: the label is the most probable class (the paper); pair: the "
        "label is more probable than the background; foreground: the sum of all foreground classes exceeds "
        "refine.threshold times its highest value in the photo",
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.7,
        description="with constrain = foreground: smallest probability of the foreground, as a share of its highest "
        "value in the photo",
    )


class FilterConfig(Settings):
    """Filter: photos whose refined mask is implausible are left out of the next round."""

    min_share: Share = Field(
        0.01,
        description="smallest share of the photo that its refined mask (before enhancement) must cover (the paper: "
        "0.01)",
    )
    max_share: Share = Field(
        0.80,
        description="largest share of the photo that its refined mask (before enhancement) may cover (the paper: 0.80)",
    )

    @model_validator(mode="after")
    def _limits_are_ordered(self) -> Self:
        if self.min_share >= self.max_share:
            raise ConfigError(
                f"filter.min_share must be below filter.max_share; found {self.min_share} and {self.max_share}."
            )
        return self
