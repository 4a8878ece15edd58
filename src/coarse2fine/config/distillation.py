"""Settings of the teacher (VideoPCA) and of student networks."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import Count, PositiveFloat, PositiveInt, Settings
from coarse2fine.config.train import StreamConfig
from coarse2fine.errors import ConfigError


class TeacherConfig(Settings):
    """The unsupervised teacher: soft masks of the moving objects in videos, and the selection of the best masks."""

    max_side_px: Annotated[int, Field(ge=32)] = Field(
        480, description="frames are reduced to this longer side to compute masks; masks are written at full size"
    )
    every: PositiveInt = Field(1, description="use every n-th frame")
    keep_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.15, description="share of the frames to keep; the score of a frame is the mean of its mask's non-zero pixels"
    )
    collection: Literal["all", "video"] = Field(
        "all", description="keep the best share of all videos together, or of each video"
    )
    save_frames: Literal["kept", "all", "none"] = Field(
        "kept", description="frames of video files to write as images; frames in folders are never copied"
    )
    memory_mb: PositiveInt = Field(
        512, description="memory for the frames of one video; a longer video is decoded about ten times"
    )


class StudentNetworkConfig(Settings):
    """The student network, which predicts soft foreground masks."""

    shape: Literal["lowres", "unet", "dilated"] = Field(
        "dilated",
        description="architecture; lowres: LowRes-Net (ICCV 2017); unet: plain U-Net; dilated: U-Net with dilated "
        "convolutions at the bottleneck",
    )
    width: Annotated[float, Field(gt=0, le=16)] = Field(
        1.0, description="factor of the number of channels; lowres has 78.1 million parameters at width 1"
    )
    input_px: Annotated[int, Field(gt=0, le=2048)] = Field(
        128, multiple_of=8, description="side of the training crops; lowres: always 128 (the paper)"
    )
    view_px: Annotated[int, Field(gt=0, le=2048)] = Field(
        160,
        multiple_of=8,
        description="unet and dilated: side of the square to which photos are squashed for prediction; use "
        "train.resize_px, so that objects have the same size as in training; lowres: always 128 (the paper)",
    )

    @property
    def seen_px(self) -> int:
        """Side of the square to which photos are squashed for prediction."""
        return self.input_px if self.shape == "lowres" else self.view_px

    @model_validator(mode="after")
    def _lowres_has_one_size(self) -> Self:
        if self.shape == "lowres" and self.input_px != 128:
            raise ConfigError(f"network.shape = lowres needs network.input_px = 128, found {self.input_px}.")
        return self


class StudentTrainConfig(StreamConfig):
    """Training of a student network: mean squared error to soft masks, AdamW."""

    batch: PositiveInt = Field(32, description="photos per optimizer step, summed over all processes")
    epochs: tuple[PositiveInt, ...] = Field(
        (30,),
        min_length=1,
        description="epochs of generations 1, 2, ...; the last number is used for all later generations (the paper "
        "does not say)",
    )
    resize_px: PositiveInt = Field(
        160, description="side of the square to which photos are squashed before they are cropped"
    )
    scale_jitter: tuple[PositiveFloat, PositiveFloat] = Field(
        (1.0, 1.0), description="range of the random zoom before the crop; 1 1: none"
    )
    flip: bool = Field(True, description="mirror half of the photos, chosen at random")
    color_jitter: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="strength of random changes of brightness, contrast and saturation; 0: none"
    )
    learning_rate: PositiveFloat = Field(0.001, description="learning rate of AdamW at the start")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="decoupled weight decay of AdamW")


class GenerationsConfig(Settings):
    """Further generations: a new student network trains on masks of new photos predicted by the student before it."""

    number: PositiveInt = Field(
        1, description="number of generations; all but the first train on new photos without labels"
    )
    selector: Literal["evalseg", "mean", "none"] = Field(
        "evalseg",
        description="quality score that selects masks; evalseg: predicted by EvalSeg-Net; mean: mean of the non-zero "
        "pixels; none: use all masks",
    )
    prior_sigma: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (0.0,),
        min_length=1,
        description="generations 2, 3, ...: multiply masks by a centered Gaussian of this sigma (a share of the "
        "shorter side) and divide them by their maximum; 0: leave them unchanged; the last number is used for all "
        "later generations",
    )
    keep_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="evalseg, mean: share of the masks to keep, those with the highest scores"
    )
    enhance: bool = Field(True, description="align the masks with the edges of their photos by GrabCut")
    soft_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="enhance: train on a weighted mean of soft mask and GrabCut mask, with this weight of the soft "
        "mask; 0: GrabCut mask only",
    )
    keep_examples: bool = Field(
        False,
        description="train also on the examples of the generation before, except for photos that have a new mask",
    )


class StudentConfig(Settings):
    """All settings of a student."""

    seed: Count = Field(0, description="random seed; same settings, seed and kind of machine: same student")
    network: StudentNetworkConfig = StudentNetworkConfig()
    train: StudentTrainConfig = StudentTrainConfig()
    generations: GenerationsConfig = GenerationsConfig()
