"""Settings of the export of masks."""

from typing import Literal

from pydantic import Field

from coarse2fine.config.base import Count, PositiveInt, Settings, Share


class MaskExportConfig(Settings):
    """Masks to export, and how."""

    images: Literal["copy", "link", "none"] = Field(
        "copy", description="copy the photos, link to them, or leave them out"
    )
    round: Count | None = Field(
        None, description="round of the masks; 0: before the first round; default: the last round"
    )
    masks: Literal["enhanced", "refined", "coarse"] = Field(
        "enhanced",
        description="enhanced: the result of the round; refined: the masks of its network; coarse: the masks "
        "of stage 1",
    )
    left_out: bool | None = Field(
        None,
        description="also export photos that the filter left out of training (filter.min_share, filter.max_share); "
        "default: only to labelstudio and cvat, where people correct them",
    )
    min_quality: Share | None = Field(
        None, description="export only photos with at least this quality score (quality.csv)"
    )
    instances: Literal["class", "part"] = Field(
        "class",
        description="for coco, coco-panoptic, labelstudio, cvat: one annotation for each class of a photo, or for each "
        "connected part; yolo always has one for each part",
    )
    polygons: bool = Field(False, description="for coco: polygons instead of run lengths")
    image_prefix: str | None = Field(
        None,
        description="for labelstudio: URL prefix of the photos; default: /data/local-files/?d=DIR/images/, which Label "
        "Studio serves if LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT is the parent folder of DIR",
    )
    batch: PositiveInt = Field(8, description="with --photos: photos per batch of the network")
