"""COCO: instances as run lengths or polygons, and panoptic segmentation.

Source: https://cocodataset.org/#format-data.
"""

import io
from itertools import count
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from coarse2fine.export.mask_export import Job, Object, Opened, cut_out, write_bytes
from coarse2fine.export.polygons import trace_edges
from coarse2fine.export.streamed_files import JsonLists
from coarse2fine.masks.palette import color_table
from coarse2fine.types import BACKGROUND

Annotation = dict[str, Any]

IMAGES = "images/train"
INSTANCES = "annotations/instances_train.json"
PANOPTIC = "annotations/panoptic_train"


def write_coco(job: Job) -> None:
    """Write ``annotations/instances_train.json`` and ``images/train``; scores stand with annotations and images.

    Ignored pixels have no place in it and become background.
    """

    def annotate(photo: Opened) -> tuple[Opened, list[Annotation]]:
        photo.carry(job.folder / IMAGES)
        return photo, [_annotate(item, photo) for item in photo.objects()]

    values = {"info": _describe(job), "licenses": [], "categories": _list_categories(job)}
    with JsonLists(job.folder / INSTANCES, values, ("annotations", "images")) as file:
        numbers = count(1)
        for image_id, (photo, annotations) in enumerate(job.each(annotate), start=1):
            for annotation in annotations:
                file.add("annotations", {"id": next(numbers), "image_id": image_id} | annotation)
            file.add("images", _describe_image(image_id, photo))
            job.lose("ignored pixels became background", photo.has_ignored)


def write_panoptic(job: Job) -> None:
    """Write ``annotations/panoptic_train.json``, pictures beside it, and ``images/train``.

    Ignored pixels are those of no segment.

    Background is a category of its own, so that it is told apart from ignored pixels; its number comes after those of
    all classes, since some readers take 0 for none.
    """
    background_id = len(job.classes)

    def annotate(photo: Opened) -> tuple[Opened, list[Annotation]]:
        photo.carry(job.folder / IMAGES)
        segments, ids = [], np.zeros((*photo.mask.shape, 3), np.uint8)
        background = (photo.mask == BACKGROUND).astype(np.uint8)
        objects = [cut_out(background_id, background)] if background.any() else []
        for number, item in enumerate([*objects, *photo.objects()], start=1):
            red_green_blue = [number % 256, number // 256 % 256, number // 65536]
            ids[item.box.y0 : item.box.y1, item.box.x0 : item.box.x1][item.crop > 0] = red_green_blue
            segments.append({"id": number} | _measure(item, photo))
        encoded = io.BytesIO()
        PillowImage.fromarray(ids).save(encoded, format="PNG")
        write_bytes(job.folder / PANOPTIC / f"{photo.name}.png", encoded.getvalue())
        return photo, segments

    background = {"id": background_id, "name": job.classes[BACKGROUND], "supercategory": "", "color": [0, 0, 0]}
    categories = [*(one | {"isthing": 1} for one in _list_categories(job)), background | {"isthing": 0}]
    values = {"info": _describe(job), "licenses": [], "categories": categories}
    with JsonLists(job.folder / f"{PANOPTIC}.json", values, ("annotations", "images")) as file:
        for image_id, (photo, segments) in enumerate(job.each(annotate), start=1):
            file.add(
                "annotations",
                {"image_id": image_id, "file_name": f"{photo.name}.png", "segments_info": segments},
            )
            file.add("images", _describe_image(image_id, photo))


def _annotate(item: Object, photo: Opened) -> Annotation:
    height, width = photo.mask.shape
    if photo.job.config.polygons:
        corner = (item.box.x0, item.box.y0)
        shape: Any = [(ring + corner).ravel().tolist() for ring in trace_edges(item.crop)]
    else:
        from pycocotools import mask as run_lengths

        encoded = run_lengths.encode(np.asfortranarray(item.on(height, width)))
        shape = {"size": [height, width], "counts": encoded["counts"].decode("ascii")}
    return _measure(item, photo) | {"segmentation": shape}


def _measure(item: Object, photo: Opened) -> Annotation:
    box = item.box
    measured: Annotation = {
        "category_id": item.label,
        "area": int(np.count_nonzero(item.crop)),
        "bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
        "iscrowd": 0,
    }
    return measured | ({} if photo.score is None else {"score": photo.score})


def _describe_image(image_id: int, photo: Opened) -> dict[str, Any]:
    height, width = photo.mask.shape
    described = {"id": image_id, "file_name": photo.file, "height": height, "width": width}
    return described | ({} if photo.score is None else {"quality": photo.score})


def _describe(job: Job) -> dict[str, str]:
    return {"description": f"coarse2fine: {job.title}"}


def _list_categories(job: Job) -> list[dict[str, Any]]:
    colors = color_table()
    return [
        {"id": label, "name": name, "supercategory": "", "color": colors[label].tolist()}
        for label, name in enumerate(job.classes)
        if label != BACKGROUND
    ]
