"""All settings of ``coarse2fine fit``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import Count, PositiveFloat, Settings
from coarse2fine.config.coarse import CoarseConfig
from coarse2fine.config.enhance import FitEnhanceConfig, Start
from coarse2fine.config.network import NetworkConfig
from coarse2fine.config.predict import PredictConfig, check_input_size
from coarse2fine.config.refine import FilterConfig, RefineConfig
from coarse2fine.config.train import TrainConfig
from coarse2fine.errors import ConfigError

Task = Literal["classes", "foreground"]

AUTO_ROUNDS = 4
"""The most rounds of ``rounds = auto``: as many as ``train.epochs`` lists by default."""


MAX_ROUNDS = 1000
"""No run has had more than 20 rounds. Without a limit, a settings file of a stranger could ask for a billion."""

Rounds = Annotated[int, Field(gt=0, le=MAX_ROUNDS)] | Literal["auto"]
"""Type of the setting ``rounds``."""


def most_rounds(rounds: int | Literal["auto"]) -> int:
    """Return the largest number of rounds that a value of the setting ``rounds`` allows."""
    return AUTO_ROUNDS if rounds == "auto" else rounds


class FitConfig(Settings):
    """All settings that decide the masks of a run; the defaults are the recipe ``small``."""

    task: Task = Field(
        "classes",
        description="classes: photos have labels, the network segments all classes; foreground: photos have no "
        "label, the network separates foreground and background",
    )
    rounds: Rounds = Field(
        "auto",
        description="number of rounds; each trains a network, which makes the next masks; auto: 4, or fewer if the "
        "masks hardly change",
    )
    seed: Count = Field(
        0,
        description="seed of all random numbers; equal settings, processes and kind of machine give equal masks",
    )
    max_megapixels: PositiveFloat = Field(200.0, description="larger photos are skipped")
    coarse: CoarseConfig = CoarseConfig()
    enhance: FitEnhanceConfig = FitEnhanceConfig()
    refine: RefineConfig = RefineConfig()
    filter: FilterConfig = FilterConfig()
    network: NetworkConfig = NetworkConfig()
    train: TrainConfig = TrainConfig()
    predict: PredictConfig = PredictConfig()

    @model_validator(mode="after")
    def _coarse_probabilities_exist(self) -> Self:
        if self.keeps_soft_masks(0) and not self.coarse.gives_probabilities:
            raise ConfigError(
                f"coarse.method = {self.coarse.method} gives no probabilities from which the enhancement could start: "
                "set enhance.coarse_start to auto, box or mask."
            )
        return self

    @model_validator(mode="after")
    def _input_has_a_limit(self) -> Self:
        largest = max(1.0, *self.network.scales)
        scales = [largest * scale for scale in self.predict.scales]
        check_input_size("predict.size_px or train.resize_px", self.view_px, scales)
        return self

    def start_of(self, number: int) -> Start:
        """Return what the enhancement of a round starts from; round 0 is that of the coarse masks."""
        enhance = self.enhance
        if number and not enhance.between_rounds:
            return "mask"
        has_soft_masks = enhance.takes_soft_masks and (number > 0 or self.coarse.gives_probabilities)
        if not enhance.follows_start:
            return "probabilities" if has_soft_masks else "mask"
        chosen = enhance.start if number else enhance.coarse_start
        if chosen != "auto":
            return chosen
        return "probabilities" if has_soft_masks else "box"

    def keeps_soft_masks(self, number: int) -> bool:
        """Return whether the soft masks of a round are saved, because its enhancement starts from them."""
        return self.start_of(number) == "probabilities"

    def uses_linear_model(self, number: int) -> bool:
        """Return whether a linear model of the encoder's features corrects the soft masks of a round."""
        is_pretrained = self.network.encoder_weights != "none"
        return is_pretrained and self.enhance.linear_weight > 0 and self.keeps_soft_masks(number)

    @property
    def most_rounds(self) -> int:
        """Largest number of rounds of a run."""
        return most_rounds(self.rounds)

    @property
    def view_px(self) -> int:
        """Longer side to which photos are resized for the trained network."""
        return self.predict.size_px or self.train.size_px
