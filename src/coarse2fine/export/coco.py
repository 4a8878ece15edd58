"""COCO: instances as run lengths or polygons, and panoptic segmentation.

Source: https://cocodataset.org/#format-data.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from coarse2fine.export.mask_format import (
    LoadedPhoto,
    MaskExport,
    MaskFormat,
    write_bytes,
)
from coarse2fine.export.streamed_files import open_json_lists
from coarse2fine.masks.objects import ObjectMask, crop_to_object
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.polygons import trace_edges
from coarse2fine.types import BACKGROUND

JsonObject = dict[str, Any]

LISTS = ("annotations", "images")


def write_coco(export: MaskExport) -> None:
    """Write ``annotations/instances_train.json`` and ``images/train``, and the same of ``val``.

    Quality scores are stored with annotations and images.
    """

    def write_photo(photo: LoadedPhoto) -> tuple[LoadedPhoto, list[JsonObject]]:
        photo.save(export.folder / "images" / photo.split)
        return photo, [_make_annotation(item, photo) for item in photo.objects()]

    values = _make_header(export, _list_categories(export))
    with _open_splits(export, "instances", values) as append:
        annotation_ids = count(1)
        for image_id, (photo, annotations) in enumerate(export.map_photos(write_photo), start=1):
            for annotation in annotations:
                append[photo.split]("annotations", {"id": next(annotation_ids), "image_id": image_id} | annotation)
            append[photo.split]("images", _describe_image(image_id, photo))


def write_panoptic(export: MaskExport) -> None:
    """Write ``annotations/panoptic_train.json``, its PNGs and ``images/train``, and the same of ``val``.

    Pixels to ignore belong to no segment. The background is a category of its own, so that it differs from ignored
    pixels. Its number follows those of all classes, because some readers take 0 for "no segment".
    """
    background_id = len(export.source.classes)

    def write_photo(photo: LoadedPhoto) -> tuple[LoadedPhoto, list[JsonObject]]:
        photo.save(export.folder / "images" / photo.split)
        segments, ids = [], np.zeros((*photo.mask.shape, 3), np.uint8)
        background = (photo.mask == BACKGROUND).astype(np.uint8)
        objects = [crop_to_object(background_id, background)] if background.any() else []
        for number, item in enumerate([*objects, *photo.objects()], start=1):
            red_green_blue = [number % 256, number // 256 % 256, number // 65536]
            ids[item.box.y0 : item.box.y1, item.box.x0 : item.box.x1][item.crop > 0] = red_green_blue
            segments.append({"id": number} | _measure(item, photo))
        encoded = io.BytesIO()
        PillowImage.fromarray(ids).save(encoded, format="PNG")
        write_bytes(export.folder / f"annotations/panoptic_{photo.split}/{photo.name}.png", encoded.getvalue())
        return photo, segments

    background = {"id": background_id, "name": export.source.classes[BACKGROUND], "supercategory": ""}
    background |= {"color": [0, 0, 0], "isthing": 0}
    categories = [*(category | {"isthing": 1} for category in _list_categories(export)), background]
    values = _make_header(export, categories)
    with _open_splits(export, "panoptic", values) as append:
        for image_id, (photo, segments) in enumerate(export.map_photos(write_photo), start=1):
            segmented = {"image_id": image_id, "file_name": f"{photo.name}.png", "segments_info": segments}
            append[photo.split]("annotations", segmented)
            append[photo.split]("images", _describe_image(image_id, photo))


@contextmanager
def _open_splits(
    export: MaskExport, kind: str, values: JsonObject
) -> Iterator[dict[str, Callable[[str, JsonObject], None]]]:
    """Open ``annotations/<kind>_<split>.json`` of each split; yield the functions that append to their lists."""
    with ExitStack() as stack:
        yield {
            split: stack.enter_context(
                open_json_lists(export.folder / "annotations" / f"{kind}_{split}.json", values, LISTS)
            )
            for split in export.splits
        }


def _make_annotation(item: ObjectMask, photo: LoadedPhoto) -> JsonObject:
    height, width = photo.mask.shape
    if photo.export.config.polygons:
        corner = (item.box.x0, item.box.y0)
        segmentation: Any = [(ring + corner).ravel().tolist() for ring in trace_edges(item.crop)]
    else:
        from pycocotools import mask as run_lengths  # of the extra "export"

        encoded = run_lengths.encode(np.asfortranarray(item.to_full_size(height, width)))
        segmentation = {"size": [height, width], "counts": encoded["counts"].decode("ascii")}
    return _measure(item, photo) | {"segmentation": segmentation}


def _measure(item: ObjectMask, photo: LoadedPhoto) -> JsonObject:
    box = item.box
    measured: JsonObject = {
        "category_id": item.label,
        "area": int(np.count_nonzero(item.crop)),
        "bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
        "iscrowd": 0,
    }
    return measured | ({} if photo.score is None else {"score": photo.score})


def _describe_image(image_id: int, photo: LoadedPhoto) -> JsonObject:
    height, width = photo.mask.shape
    described = {"id": image_id, "file_name": photo.file_name, "height": height, "width": width}
    return described | ({} if photo.score is None else {"quality": photo.score})


def _make_header(export: MaskExport, categories: list[JsonObject]) -> JsonObject:
    info = {"description": f"coarse2fine: {export.source.title}"}
    return {"info": info, "licenses": [], "categories": categories}


def _list_categories(export: MaskExport) -> list[JsonObject]:
    colors = color_table()
    return [
        {"id": label, "name": name, "supercategory": "", "color": colors[label].tolist()}
        for label, name in enumerate(export.source.classes)
        if label != BACKGROUND
    ]


COCO = MaskFormat(write_coco, packages=("pycocotools",), keeps_ignored=False, has_polygons=True)
COCO_PANOPTIC = MaskFormat(write_panoptic)
