"""Settings of the teacher, and of the students that are trained on its masks."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import Count, PositiveFloat, PositiveInt, Settings
from coarse2fine.config.train import StreamConfig
from coarse2fine.errors import ConfigError


class TeacherConfig(Settings):
    """The teacher: soft masks of moving objects in videos, and the selection of the best of them."""

    max_side_px: Annotated[int, Field(ge=32)] = Field(
        480,
        description="longer side to which frames are resized for the computation; masks have the size of the frames",
    )
    every: PositiveInt = Field(1, description="use each n-th frame")
    keep_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.15, description="share of the masks that are kept, those with the largest mean of their non-zero pixels"
    )
    collection: Literal["all", "video"] = Field(
        "all", description="select the best masks of all videos together (all), or of each video (video)"
    )
    save_frames: Literal["kept", "all", "none"] = Field(
        "kept", description="frames of video files that are written as pictures; folders of frames are never copied"
    )
    memory_mb: PositiveInt = Field(
        512,
        description="megabytes of memory for the frames of a video; the frames of a longer video are decoded ten times",
    )


class StudentNetworkConfig(Settings):
    """The network of a student: small, trained without labels to find the foreground."""

    shape: Literal["lowres", "unet", "dilated"] = Field(
        "dilated", description="lowres: LowRes-Net (ICCV 2017); unet: plain U-Net; dilated: with a dilated bottleneck"
    )
    width: PositiveFloat = Field(
        1.0, description="factor of the number of channels; lowres with width 1 has 78.1 million parameters"
    )
    input_px: PositiveInt = Field(
        128, multiple_of=8, description="side of the crops in training; lowres: only 128 (the paper)"
    )
    view_px: PositiveInt = Field(
        160,
        multiple_of=8,
        description="side of the square to which photos are resized after training; equal to train.resize_px, "
        "objects have "
        "the same size as in the crops; lowres: always 128 (the paper)",
    )

    @property
    def seen_px(self) -> int:
        """Side of the square to which photos are resized after training."""
        return self.input_px if self.shape == "lowres" else self.view_px

    @model_validator(mode="after")
    def _lowres_has_one_size(self) -> Self:
        if self.shape == "lowres" and self.input_px != 128:
            raise ConfigError(f"network.shape = lowres needs network.input_px = 128; found {self.input_px}.")
        return self


class StudentTrainConfig(StreamConfig):
    """Training of a student on soft masks: mean squared error, Adam."""

    batch: PositiveInt = Field(32, description="photos per optimizer step")
    epochs: tuple[PositiveInt, ...] = Field(
        (30,),
        min_length=1,
        description="epochs of generations 1, 2, ...; the last number is used for all later ones (the paper "
        "does not say)",
    )
    resize_px: PositiveInt = Field(
        160, description="side of the square to which photos are resized before they are cropped"
    )
    scale_jitter: tuple[PositiveFloat, PositiveFloat] = Field(
        (1.0, 1.0), description="range of the random zoom before the crop; 1 1: none"
    )
    flip: bool = Field(True, description="mirror half of the photos, chosen at random")
    color_jitter: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="strength of random changes of brightness, contrast and saturation; 0: none"
    )
    learning_rate: PositiveFloat = Field(0.001, description="learning rate of Adam at the start")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="decoupled weight decay of Adam")
    poly_power: Annotated[float, Field(ge=0)] = Field(
        0.9,
        description="the learning rate is multiplied by (1 - step / steps) to this power; 0: constant (the "
        "paper does not say)",
    )


class GenerationsConfig(Settings):
    """Generations: each student after the first is trained on masks that the one before made for new photos."""

    number: PositiveInt = Field(
        1, description="number of generations; all but the first are trained on new photos without labels"
    )
    selector: Literal["evalseg", "mean", "none"] = Field(
        "evalseg",
        description="selection of the masks for training; evalseg: by a network that estimates the quality of "
        "a mask; mean: by "
        "the mean of the non-zero pixels, as for the teacher's masks; none: all masks",
    )
    prior_sigma: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (0.0,),
        min_length=1,
        description="for generations 2, 3, ...: soft masks are multiplied by a centered Gaussian with this "
        "sigma, as a share "
        "of the side, and divided by their maximum, as the teacher's masks are; 0: unchanged; the last number is used "
        "for all later generations",
    )
    evalseg_epochs: PositiveInt = Field(
        8,
        description="epochs of the evalseg network, on the training photos of the generation before (the paper "
        "does not say)",
    )
    keep_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="share of the masks that evalseg or mean selects"
    )
    enhance: bool = Field(True, description="snap the masks to image edges by GrabCut before training")
    soft_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="weight of the soft mask in its average with GrabCut's mask; 0: GrabCut's mask alone"
    )
    keep_examples: bool = Field(
        False, description="also train on the photos of the generation before that have no new mask"
    )


class StudentConfig(Settings):
    """All settings that decide a student."""

    seed: Count = Field(0, description="seed of all random numbers; equal settings and seed give an equal student")
    network: StudentNetworkConfig = StudentNetworkConfig()
    train: StudentTrainConfig = StudentTrainConfig()
    generations: GenerationsConfig = GenerationsConfig()
