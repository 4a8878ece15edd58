"""Settings of stage 2: enhanced masks."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import MethodSettings, PositiveFloat, PositiveInt, Role, Settings, Weight
from coarse2fine.errors import ConfigError

Start = Literal["box", "mask", "probabilities"]
"""What an enhancement starts from: the bounding box of the mask, the mask, or its foreground probabilities."""


class EnhancerSettings(Settings):
    """Settings of one enhancement method.

    Attributes:
        takes_soft_masks: Whether the method can start from a soft mask. If not, it always starts from the mask.
        follows_start: Whether the method starts from what ``enhance.start`` names. If not, ``fit`` lets it start from
            the soft mask if there is one and ``takes_soft_masks`` is true, else from the mask.
    """

    takes_soft_masks: ClassVar[bool] = False
    follows_start: ClassVar[bool] = False


ColorSigma = Annotated[float, Field(ge=0.5)]


class GrabCutConfig(EnhancerSettings):
    """Method grabcut: GrabCut (Rother et al., 2004), color models and the cheapest cut along image edges."""

    takes_soft_masks: ClassVar[bool] = True
    follows_start: ClassVar[bool] = True

    engine: Literal["fast", "opencv"] = Field(
        "fast",
        description="fast: own implementation, from small to large copies of the photo; opencv: cv2.grabCut, 10 to 40 "
        "times slower",
    )
    iterations: PositiveInt = Field(5, description="repetitions of fitting the color models and cutting (the paper: 5)")
    box: Literal["all", "largest"] = Field(
        "all",
        description="with start = box: bounding box of all foreground, or of its largest connected component (the "
        "paper does not say)",
    )
    probability_weight: Weight = Field(
        1.5,
        description="with start = probabilities: weight of the log odds of the foreground probability relative to the "
        "color models; must be 0 with engine opencv if a start is probabilities, because OpenCV cannot use them",
    )
    max_side_px: PositiveInt = Field(
        1000, description="larger photos are reduced to this longer side for the cut; the result is enlarged again"
    )


class CrfConfig(Settings):
    """Parameters of a fully connected CRF; the defaults are those of DeepLab v2 for photos of PASCAL VOC."""

    steps: PositiveInt = Field(10, description="mean-field steps")
    position_weight: Weight = Field(3.0, description="weight of the kernel of position")
    position_sigma_px: PositiveFloat = Field(1.0, description="width of the kernel of position, in pixels")
    bilateral_weight: Weight = Field(4.0, description="weight of the kernel of position and color")
    bilateral_sigma_px: PositiveFloat = Field(67.0, description="width of that kernel in position, in pixels")
    color_sigma: ColorSigma = Field(3.0, description="width of that kernel in color, in levels of 255 per channel")
    max_side_px: PositiveInt = Field(
        500, description="larger photos are reduced to this longer side, that of photos of VOC; sigmas refer to it"
    )


class CrfEnhanceConfig(EnhancerSettings):
    """Method crf: fully connected CRF with the parameters of DeepLab v2.

    Only the setting that changed the result is a setting. On 118 photos of voc-animals/val (docs/log.md, "a dense CRF
    without a compiler"), the mIoU was .675 with 10 or 5 steps, bilateral weight 4 or 2, and bilateral sigma 67 or 40
    px, but .673 with color sigma 5 and .665 with color sigma 10.
    """

    takes_soft_masks: ClassVar[bool] = True

    color_sigma: ColorSigma = Field(
        3.0,
        description="color difference, in levels of 255 per channel, up to which neighboring pixels tend to get the "
        "same class; larger values are faster",
    )
    mask_probability: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        0.7, description="when it starts from a binary mask: probability that a pixel of the mask is right"
    )

    @property
    def parameters(self) -> CrfConfig:
        """The parameters of the CRF."""
        return CrfConfig(color_sigma=self.color_sigma)


class EnhanceConfig(MethodSettings):
    """Stage 2: align masks with image edges."""

    stage: ClassVar[str] = "enhance"
    without_settings: ClassVar[Mapping[str, str]] = {
        "box": "the filled bounding box of the mask",
        "none": "the unchanged mask",
    }

    method: str = "grabcut"
    start: Start = Field(
        "box",
        description="start of GrabCut: box: the bounding box of the mask (the paper); mask: a band along the contour "
        "of the mask is open, the rest is fixed; probabilities: the foreground probabilities of the mask",
    )
    grabcut: GrabCutConfig = GrabCutConfig()
    crf: CrfEnhanceConfig = CrfEnhanceConfig()

    @property
    def takes_soft_masks(self) -> bool:
        """Whether the method can start from soft masks."""
        return isinstance(self.section, EnhancerSettings) and self.section.takes_soft_masks

    @property
    def follows_start(self) -> bool:
        """Whether ``start`` decides what the method starts from; see :class:`EnhancerSettings`."""
        return isinstance(self.section, EnhancerSettings) and self.section.follows_start

    @property
    def can_weigh_probabilities(self) -> bool:
        """Whether the engine of GrabCut can use ``probability_weight``; true for other methods."""
        return self.method != "grabcut" or self.grabcut.engine == "fast" or self.grabcut.probability_weight == 0

    @property
    def _starts(self) -> tuple[str, ...]:
        return (self.start,)

    @model_validator(mode="after")
    def _opencv_cannot_weigh_probabilities(self) -> Self:
        if "probabilities" in self._starts and not self.can_weigh_probabilities:
            weight = self.grabcut.probability_weight
            raise ConfigError(
                "OpenCV's GrabCut cannot weigh probabilities against colors (enhance.start or enhance.coarse_start is "
                f"probabilities): set enhance.grabcut.probability_weight to 0 (found {weight:g}), or "
                "enhance.grabcut.engine to fast, or start from box or mask."
            )
        return self


class FitEnhanceConfig(EnhanceConfig):
    """Stage 2: align the masks of each round with image edges."""

    start: Start = Field(
        "probabilities",
        description="start of GrabCut after each round: box: the bounding box of the mask (the paper); mask: a band "
        "along the contour of the mask is open, the rest is fixed; probabilities: those of the network",
    )
    coarse_start: Annotated[Start | Literal["auto"], Role.RESOLVED] = Field(
        "auto",
        description="start of GrabCut on the coarse masks; auto: probabilities if the coarse method gives them and the "
        "engine can use them, otherwise box",
    )
    between_rounds: Annotated[bool, Role.RESOLVED] = Field(
        True, description="enhance the refined masks of each round, not only the coarse masks"
    )

    @property
    def _starts(self) -> tuple[str, ...]:
        return (self.start, self.coarse_start)
