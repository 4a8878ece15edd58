"""Settings of stage 1: coarse masks."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import MethodSettings, Role, Settings
from coarse2fine.errors import ConfigError

EMBEDDED_STUDENT = "student.safetensors"
"""File name of the student that is part of the package; docs/student.md is its model card."""

_NOT_DINO = ("dinov2", "dinov3", "clip", "siglip")  # in names of architectures


class CoarseBoxConfig(Settings):
    """Method box: a centered box."""

    share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="width and height of the box, as a share of the photo's width and height"
    )


class CoarseStudentConfig(Settings):
    """Method student: a network trained without labels."""

    weights: Annotated[Path | None, Role.FILE] = Field(
        None,
        description="weights file written by 'coarse2fine student train'; default: the student included in coarse2fine",
    )

    @property
    def file(self) -> Path:
        """The weights file: the one that is set, or the one in the package."""
        return self.weights or Path(str(resources.files("coarse2fine") / "coarse" / EMBEDDED_STUDENT))


class CoarseFeaturesConfig(Settings):
    """Method features: cut of DINO features (not measured)."""

    model: str = Field(
        "vit_small_patch16_224.dino",
        description="name of a timm vision transformer trained by DINO (version 1): vit_small or vit_base, patch16 or "
        "patch8, tag .dino; the method is known to fail on DINOv2, DINOv3, CLIP and networks trained with labels",
    )
    weights: Annotated[str, Role.FILE] = Field(
        "pretrained", description="'pretrained' (downloaded by timm), or a safetensors file with timm's parameter names"
    )


class CoarseFolderConfig(Settings):
    """Method folder: your own masks."""

    path: Path | None = Field(None, description="folder of masks named like the photos; pixels above 0 are foreground")


class CoarseConfig(MethodSettings):
    """Stage 1: find the foreground of each photo without labels."""

    stage: ClassVar[str] = "coarse"
    without_settings: ClassVar[Mapping[str, str]] = {
        "saliency": "robust background detection",
        "combined": "mean of student (twice), saliency, box after GrabCut",
        "combined-equal": "the same, each once",
        "auto": "chosen by the photos (only fit)",
    }

    method: str = "auto"
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["otsu"] = Field(
        "otsu",
        description="pixels of the soft mask above this probability become foreground; otsu: threshold chosen for each "
        "photo by Otsu's method (the paper does not say), but 0.5 for combined and combined-equal",
    )
    box: CoarseBoxConfig = CoarseBoxConfig()
    student: CoarseStudentConfig = CoarseStudentConfig()
    features: CoarseFeaturesConfig = CoarseFeaturesConfig()
    folder: CoarseFolderConfig = CoarseFolderConfig()

    @property
    def section(self) -> Settings:
        """The settings of the chosen method; all settings if it combines other methods."""
        return self if self.combines_methods else super().section

    @property
    def combines_methods(self) -> bool:
        """Whether the method is the mean of student, saliency and box."""
        return self.method in ("combined", "combined-equal")

    @property
    def uses_student(self) -> bool:
        """Whether the student makes the masks, alone or with other methods."""
        return self.method in ("student", "auto") or self.combines_methods

    def with_method(self, method: str) -> Self:
        """Return the same settings with another method."""
        return self.model_copy(update={"method": method})

    @property
    def gives_probabilities(self) -> bool:
        """Whether the method makes soft masks, which hold a foreground probability for each pixel."""
        return self.method not in ("box", "folder")

    @model_validator(mode="after")
    def _folder_is_given(self) -> Self:
        if self.method == "folder" and self.folder.path is None:
            raise ConfigError("coarse.method = folder needs coarse.folder.path, the folder of your masks.")
        return self

    @model_validator(mode="after")
    def _features_are_of_dino(self) -> Self:
        if self.method == "features" and not _is_dino(self.features.model, self.features.weights):
            raise ConfigError(
                "coarse.features.model must be a network trained by DINO version 1, because the method is known to "
                f"fail on others; found '{self.features.model}'. Choose vit_small_patch16_224.dino, or name an "
                "architecture without a tag (vit_small_patch16_224) and set coarse.features.weights to the file of a "
                "network that you trained by DINO."
            )
        return self


def _is_dino(model: str, weights: str) -> bool:
    """Return whether timm's name says that DINO version 1 trained the network, or leaves it to the weights file."""
    architecture, _, tag = model.partition(".")
    if any(other in architecture for other in _NOT_DINO):
        return False
    return tag == "dino" or (not tag and weights != "pretrained")
