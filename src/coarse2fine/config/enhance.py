"""Settings of stage 2: enhanced masks."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import MethodSettings, PositiveInt, Role, Settings
from coarse2fine.errors import ConfigError

Start = Literal["box", "mask", "probabilities"]
"""What an enhancement starts from: the bounding box of the mask, the mask, or a soft mask (probabilities)."""


class EnhancerSettings(Settings):
    """Settings of one enhancement method.

    Attributes:
        takes_soft_masks: Whether the method can start from a soft mask. If not, it always starts from the mask.
        follows_start: Whether the method starts from what ``enhance.start`` names. If not, ``fit`` lets it start from
            the soft mask if there is one and ``takes_soft_masks`` is true, else from the mask.
    """

    takes_soft_masks: ClassVar[bool] = False
    follows_start: ClassVar[bool] = False


class GrabCutConfig(EnhancerSettings):
    """Method grabcut: GrabCut (Rother et al., 2004), color models and the cheapest cut along image edges."""

    takes_soft_masks: ClassVar[bool] = True
    follows_start: ClassVar[bool] = True

    engine: Literal["fast", "opencv"] = Field(
        "fast",
        description="fast: own implementation, from small to large copies of the photo; opencv: cv2.grabCut, 10 to 40 "
        "times slower, cannot start from probabilities",
    )
    iterations: PositiveInt = Field(5, description="repetitions of fitting the color models and cutting (the paper: 5)")
    box: Literal["all", "largest"] = Field(
        "all",
        description="with start = box: bounding box of all foreground, or of its largest connected component (the "
        "paper does not say)",
    )
    max_side_px: PositiveInt = Field(
        1000, description="larger photos are reduced to this longer side for the cut; the result is enlarged again"
    )


LimitedWeight = Annotated[float, Field(ge=0, le=1e4)]
Sigma = Annotated[float, Field(gt=0, le=1e4)]


class CrfConfig(Settings):
    """Parameters of a fully connected CRF; the defaults are those of DeepLab v2 for photos of PASCAL VOC.

    They are not settings of ``fit``. On 118 photos of voc-animals/val (docs/log.md, "dense CRF without a compiler"),
    the mIoU was .675 with the defaults, with 5 steps, with bilateral weight 2 and with bilateral sigma 40 px, but .673
    with color sigma 5 and .665 with color sigma 10.
    """

    steps: Annotated[int, Field(gt=0, le=1000)] = Field(10, description="mean-field steps")
    position_weight: LimitedWeight = Field(3.0, description="weight of the kernel of position")
    position_sigma_px: Sigma = Field(1.0, description="width of the kernel of position, in pixels")
    bilateral_weight: LimitedWeight = Field(4.0, description="weight of the kernel of position and color")
    bilateral_sigma_px: Sigma = Field(67.0, description="width of that kernel in position, in pixels")
    color_sigma: Annotated[float, Field(ge=0.5, le=1e4)] = Field(
        3.0, description="width of that kernel in color, in levels of 255 per channel"
    )
    max_side_px: Annotated[int, Field(gt=0, le=4096)] = Field(
        500, description="larger photos are reduced to this longer side, that of photos of VOC; sigmas refer to it"
    )


class EnhanceConfig(MethodSettings):
    """Stage 2: align masks with image edges."""

    stage: ClassVar[str] = "enhance"
    without_settings: ClassVar[Mapping[str, str]] = {
        "crf": "fully connected CRF with the parameters of DeepLab v2",
        "box": "the filled bounding box",
        "none": "the unchanged mask",
    }

    method: str = "grabcut"
    start: Start = Field(
        "box",
        description="what grabcut and crf start from; box: the bounding box of the mask (the paper; only grabcut); "
        "mask: the mask, which grabcut changes only in a band along its contour; probabilities: a soft mask, with the "
        "foreground probability of each pixel",
    )
    grabcut: GrabCutConfig = GrabCutConfig()

    @property
    def takes_soft_masks(self) -> bool:
        """Whether the method can start from soft masks."""
        if self.method == "crf":
            return True
        return isinstance(self.section, EnhancerSettings) and self.section.takes_soft_masks and not self.uses_opencv

    @property
    def follows_start(self) -> bool:
        """Whether ``start`` decides what the method starts from; see :class:`EnhancerSettings`."""
        return isinstance(self.section, EnhancerSettings) and self.section.follows_start

    @property
    def uses_opencv(self) -> bool:
        """Whether OpenCV cuts the masks. Its GrabCut has a random seed, and cannot start from soft masks."""
        return self.method == "grabcut" and self.grabcut.engine == "opencv"

    @property
    def _starts(self) -> tuple[str, ...]:
        return (self.start,)

    @model_validator(mode="after")
    def _opencv_does_not_start_from_probabilities(self) -> Self:
        if self.uses_opencv and "probabilities" in self._starts:
            raise ConfigError(
                "OpenCV's GrabCut cannot start from probabilities, but enhance.start or enhance.coarse_start is "
                "probabilities: set it to mask or box, or set enhance.grabcut.engine to fast."
            )
        return self


class FitEnhanceConfig(EnhanceConfig):
    """Stage 2: align the masks of each round with image edges."""

    start: Start = Field(
        "probabilities",
        description="what grabcut starts from after each round; box: the bounding box of the refined mask (the paper); "
        "mask: the refined mask, which changes only in a band along its contour; probabilities: the network's soft "
        "mask (crf always starts from soft masks if there are some)",
    )
    coarse_start: Annotated[Start | Literal["auto"], Role.RESOLVED] = Field(
        "auto",
        description="what grabcut starts from on the coarse masks; auto: probabilities, the soft masks of the coarse "
        "method, if it gives them and the engine can use them, otherwise box",
    )
    between_rounds: Annotated[bool, Role.RESOLVED] = Field(
        True, description="enhance the refined masks of each round, not only the coarse masks"
    )
    average_rounds: Annotated[bool, Role.RESOLVED] = Field(
        True,
        description="in the last round, start from the mean of the soft masks of all rounds, and correct it by the "
        "mean of their linear models; only if start is probabilities",
    )
    balance_size: Annotated[bool, Role.RESOLVED] = Field(
        True,
        description="after each round, enlarge the soft masks of all photos together, until grabcut, which starts from "
        "them, shrinks as many as it enlarges; only with 10 photos or more",
    )
    linear_weight: Annotated[LimitedWeight, Role.RESOLVED] = Field(
        10.0,
        description="how strongly a linear model corrects the soft mask of each photo; above 500 photos less with each "
        "round; it is fitted to the soft masks of all photos and to features of the pretrained encoder; 0: off; only "
        "if the start is probabilities and network.encoder_weights is not none",
    )

    @property
    def _starts(self) -> tuple[str, ...]:
        return (self.start, self.coarse_start)
