"""Settings of the mask export."""

from typing import Annotated, Literal

from pydantic import Field

from coarse2fine.config.base import Count, PositiveInt, Settings, Share

MASK_FORMAT_NAMES = (
    "voc",
    "coco",
    "coco-panoptic",
    "yolo",
    "ultralytics",
    "lightly",
    "labelstudio",
    "cvat",
    "huggingface",
)
"""Names of the mask formats, for the help text: the import of ``export.MASK_FORMATS`` is slow. A test compares both."""


class MaskExportConfig(Settings):
    """Settings of ``coarse2fine export`` for masks."""

    images: Literal["copy", "link", "none"] = Field(
        "copy", description="copy the photos into the export, link them, or leave them out"
    )
    round: Count | None = Field(
        None, description="export the masks of this round; 0: before the first round; default: the last round"
    )
    masks: Literal["enhanced", "refined", "coarse"] = Field(
        "enhanced",
        description="enhanced: masks at the end of a round; refined: predictions of its network, constrained to the "
        "label; coarse: masks of stage 1",
    )
    left_out: bool | None = Field(
        None,
        description="also export photos that were left out of training (those with a reason in filter.json of the "
        "round); default: only for labelstudio and cvat, where people correct the masks",
    )
    min_quality: Share | None = Field(
        None, description="only export photos with at least this quality score in quality.csv; default: all"
    )
    val_share: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="share of the photos for validation, spread evenly over the export; never those with the lower "
        "quality scores; default: 0.1; labelstudio and cvat have no validation part",
    )
    instances: Literal["class", "part"] = Field(
        "class",
        description="coco, coco-panoptic, labelstudio, cvat: one annotation per class of a photo, or one per connected "
        "part of it; yolo always has one per part",
    )
    polygons: bool = Field(False, description="coco: write polygons instead of run lengths")
    image_prefix: str | None = Field(
        None,
        description="labelstudio: text before the path of a photo, to make its address; default: "
        "/data/local-files/?d=DIR/images/, which Label Studio serves if LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT is the "
        "folder that contains DIR",
    )
    batch: PositiveInt = Field(8, description="with --photos: number of photos that the network predicts at once")
