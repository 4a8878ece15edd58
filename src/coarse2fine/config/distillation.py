"""Settings of the teacher and of the students that it teaches."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import Count, PositiveFloat, PositiveInt, Settings
from coarse2fine.config.train import StreamConfig
from coarse2fine.errors import ConfigError


class TeacherConfig(Settings):
    """The unsupervised teacher: videos become soft masks of what moves in them, and the best of them are selected."""

    max_side_px: Annotated[int, Field(ge=32)] = Field(
        480, description="longer side at which frames are computed; masks come in the frames' own size"
    )
    every: PositiveInt = Field(1, description="take one of so many frames")
    keep_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.15, description="share of the frames whose masks are kept, by the mean of their non-zero pixels"
    )
    collection: Literal["all", "video"] = Field(
        "all", description="the best share of all videos together, or of each video"
    )
    save_frames: Literal["kept", "all", "none"] = Field(
        "kept", description="which frames of video files are written as pictures; folders of frames stay where they are"
    )
    memory_mb: PositiveInt = Field(
        512, description="frames of one video that are held in memory; those of a longer one are decoded ten times over"
    )


class StudentNetworkConfig(Settings):
    """A student: the small network that finds foreground without having seen a label."""

    shape: Literal["lowres", "unet", "dilated"] = Field(
        "dilated", description="lowres: LowRes-Net (ICCV 2017); unet: plain U-Net; dilated: with a dilated bottleneck"
    )
    width: PositiveFloat = Field(1.0, description="multiplies the channels; lowres: 1 has 78.1 million parameters")
    input_px: PositiveInt = Field(
        128, multiple_of=8, description="side of the crops that it learns from; lowres: 128 only (the paper)"
    )
    view_px: PositiveInt = Field(
        160,
        multiple_of=8,
        description="U-Nets: side to which photos are squashed at work; as in train.resize_px, so that objects are as "
        "large as they were in the crops; lowres: 128 (the paper)",
    )

    @property
    def seen_px(self) -> int:
        """Side to which photos are squashed at work."""
        return self.input_px if self.shape == "lowres" else self.view_px

    @model_validator(mode="after")
    def _lowres_has_one_size(self) -> Self:
        if self.shape == "lowres" and self.input_px != 128:
            raise ConfigError(f"network.shape = lowres needs network.input_px = 128, found {self.input_px}.")
        return self


class StudentTrainConfig(StreamConfig):
    """How a student learns from soft masks: mean squared error, Adam."""

    batch: PositiveInt = Field(32, description="photos per step")
    epochs: tuple[PositiveInt, ...] = Field(
        (30,),
        min_length=1,
        description="passes over the photos in generations 1, 2, ...; the last number holds for all further ones (the "
        "paper is silent)",
    )
    resize_px: PositiveInt = Field(160, description="photos are squashed to this side, then cropped to the input's")
    scale_jitter: tuple[PositiveFloat, PositiveFloat] = Field((1.0, 1.0), description="random zoom before the crop")
    flip: bool = Field(True, description="mirror every second photo")
    color_jitter: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="strength of random brightness, contrast and saturation"
    )
    learning_rate: PositiveFloat = Field(0.001, description="of Adam, at the start")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="of Adam, decoupled")
    poly_power: Annotated[float, Field(ge=0)] = Field(
        0.9, description="the rate falls as (1 - step / steps) ** this; 0: it stays (the paper is silent)"
    )


class GenerationsConfig(Settings):
    """How the masks of one generation of students teach the next, on new photos."""

    number: PositiveInt = Field(1, description="generations; each after the first learns from new, unlabeled photos")
    selector: Literal["evalseg", "mean", "none"] = Field(
        "evalseg",
        description="which masks teach: evalseg: a network that has learned to tell good ones; mean: of a mask's "
        "non-zero pixels, as for the teacher's; none: all",
    )
    prior_sigma: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (0.0,),
        min_length=1,
        description="generations 2, 3, ...: sigma, as a share of the side, of the centered Gaussian by which masks are "
        "multiplied, then divided by their maximum, as the teacher's are; 0: as they are; the last number holds for "
        "all further ones",
    )
    evalseg_epochs: PositiveInt = Field(
        8, description="evalseg: passes over what the generation before learned from (the paper is silent)"
    )
    keep_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="evalseg, mean: this best share of the masks teaches"
    )
    enhance: bool = Field(True, description="GrabCut snaps the masks to their photos before they teach")
    soft_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="enhance: share of the soft mask in the mean of it and of GrabCut's; 0: GrabCut's alone"
    )
    keep_lessons: bool = Field(
        False,
        description="what the generation before learned from goes on teaching, but for photos that have a new mask",
    )


class StudentConfig(Settings):
    """Everything that decides a student."""

    seed: Count = Field(0, description="same settings, seed and machine kind: same student")
    network: StudentNetworkConfig = StudentNetworkConfig()
    train: StudentTrainConfig = StudentTrainConfig()
    generations: GenerationsConfig = GenerationsConfig()
