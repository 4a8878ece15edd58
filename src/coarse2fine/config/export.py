"""Settings of the mask formats."""

from typing import Literal

from pydantic import Field

from coarse2fine.config.base import Count, PositiveInt, Settings, Share


class MaskExportConfig(Settings):
    """Which masks are exported, and how."""

    images: Literal["copy", "link", "none"] = Field(
        "copy", description="photos go along as copies, as links, or not at all"
    )
    round: Count | None = Field(None, description="masks of this round; 0: before the first; none: of the last")
    masks: Literal["enhanced", "refined", "coarse"] = Field(
        "enhanced", description="enhanced: the result of a round; refined: as its network gave them; coarse: stage 1"
    )
    left_out: bool | None = Field(
        None,
        description="also photos whose masks the filter left out (below 1 % or above 80 %); none: for labelstudio and "
        "cvat, where people mend them, and not for the others",
    )
    min_quality: Share | None = Field(None, description="only photos whose score in quality.csv is at least this")
    instances: Literal["class", "part"] = Field(
        "class",
        description="coco, coco-panoptic, labelstudio, cvat: one annotation per class of a photo, or per connected "
        "part of it; yolo always has one per part",
    )
    polygons: bool = Field(False, description="coco: polygons instead of run lengths")
    image_prefix: str | None = Field(
        None,
        description="labelstudio: what stands before a photo's path where it is served; none: "
        "/data/local-files/?d=DIR/images/, which Label Studio serves if LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT is the "
        "folder that holds DIR",
    )
    batch: PositiveInt = Field(8, description="with --photos: photos per step of the network")
