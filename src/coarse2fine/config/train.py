"""Settings of training."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import Count, PositiveFloat, PositiveInt, Role, Settings, Weight, value_of
from coarse2fine.errors import ConfigError


class StreamConfig(Settings):
    """Settings that every training has."""

    batch: PositiveInt = Field(12, description="photos per optimizer step, summed over all processes")
    average_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="decay, per step, of the moving average of the weights that is used after training; 0: no average, "
        "the last weights are used",
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="number format of the computation; auto: bf16 if the processor supports it, otherwise fp32"
    )
    loader_workers: Annotated[Count | None, Role.NO_EFFECT] = Field(
        None, description="worker processes that load photos; default: chosen by the number of cores"
    )
    checkpoint_photos: Annotated[PositiveInt, Role.NO_EFFECT] = Field(
        2000,
        description="write a checkpoint each time this many photos were seen; a killed run loses at most these",
    )

    def count_steps(self, photos: int, epochs: int) -> int:
        """Return the number of optimizer steps in which every photo is seen at least ``epochs`` times."""
        return -(-photos * epochs // self.batch)


DEFAULT_RESIZE_PX = 320
"""Size that ``train.resize_px = auto`` stands for, unless the photos are smaller."""


CLASS_SHARE = 0.15
"""For each class, the last round has at least this share of its ``min_steps``: more than these from 7 classes on.

On 498 photos of 20 classes, 600 steps instead of 200 raised the mIoU from .417 to .480, with equal masks; on 60 photos
of 5 classes it stayed the same (.503, .499; docs/log.md, 2026-11-30).
"""


class TrainConfig(StreamConfig):
    """Training of one round."""

    epochs: Annotated[tuple[PositiveInt, ...], Role.RESOLVED] = Field(
        (1, 1, 2, 4),
        min_length=1,
        description="epochs of rounds 1, 2, ..., within min_steps and max_steps; the last number is used for all later "
        "rounds",
    )
    min_steps: Annotated[tuple[PositiveInt, ...], Role.RESOLVED] = Field(
        (100, 100, 200),
        min_length=1,
        description="fewest optimizer steps of rounds 1, 2, ..., however few photos there are; in the last round "
        f"{CLASS_SHARE:.0%} of it per class, if that is more",
    )
    max_steps: Annotated[tuple[PositiveInt, ...], Role.RESOLVED] = Field(
        (2000, 2000, 4000),
        min_length=1,
        description="most optimizer steps of rounds 1, 2, ..., however many photos there are",
    )
    start: Literal["fresh", "warm"] = Field(
        "fresh", description="the network of a round starts from the encoder weights, or from the round before"
    )
    resize_px: PositiveInt | Literal["auto"] = Field(
        "auto",
        description="size to which photos are resized before they are cropped; auto: 320, or less if three "
        "quarters of the photos are smaller (crop_px is then at most this)",
    )
    keep_aspect: bool = Field(
        True, description="resize_px is the longer side; otherwise photos are resized to a square (the paper)"
    )
    crop_px: PositiveInt = Field(256, description="side of the random square crop")
    scale_jitter: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.6, 1.4), description="range of the random zoom before the crop; 1 1: none"
    )
    flip: bool = Field(True, description="mirror half of the photos, chosen at random")
    color_jitter: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3, description="strength of random changes of brightness, contrast and saturation; 0: none"
    )
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="sgd has a momentum of 0.9")
    learning_rate: PositiveFloat = Field(0.0003, description="highest learning rate of the encoder, after the warmup")
    head_learning_rate_factor: PositiveFloat = Field(
        5.0,
        description="learning rate of all layers outside the encoder, as a multiple of the encoder's; 1 if the encoder "
        "is not pretrained",
    )
    weight_decay: Weight = Field(0.01, description="weight decay; not applied to biases and norms")
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="share of the steps during which the learning rate rises from 0"
    )

    @model_validator(mode="after")
    def _limits_are_ordered(self) -> Self:
        for number in range(1, max(len(self.min_steps), len(self.max_steps)) + 1):
            fewest, most = value_of(self.min_steps, number), value_of(self.max_steps, number)
            if fewest > most:
                raise ConfigError(
                    f"train.min_steps must be at most train.max_steps in every round; found {fewest} above {most} in "
                    f"round {number}."
                )
        return self

    @property
    def size_px(self) -> int:
        """The value of ``resize_px``; `DEFAULT_RESIZE_PX` for ``auto``, which ``fit`` replaces by a number."""
        return DEFAULT_RESIZE_PX if self.resize_px == "auto" else self.resize_px

    def count_round_steps(self, photos: int, number: int, classes: int) -> int:
        """Return the number of optimizer steps of a round: those of its epochs, within the limits.

        Args:
            photos: Photos to train on.
            number: The round, from 1. From the last entry of ``epochs`` on, `CLASS_SHARE` counts.
            classes: Number of classes without background.
        """
        fewest = value_of(self.min_steps, number)
        if number >= len(self.epochs):
            fewest = max(fewest, round(CLASS_SHARE * classes * fewest))
        steps = self.count_steps(photos, value_of(self.epochs, number))
        return min(max(steps, fewest), value_of(self.max_steps, number))
