"""YOLO segmentation: one polygon per line, with coordinates as fractions of width and height.

Source: https://docs.ultralytics.com/datasets/segment.
"""

from dataclasses import replace

import numpy as np

from coarse2fine.data.class_folders import hash_text
from coarse2fine.export.mask_format import LoadedPhoto, MaskExport, MaskFormat, write_lines
from coarse2fine.export.polygons import Ring, trace_centers
from coarse2fine.export.streamed_files import open_score_table
from coarse2fine.masks.regions import classes_in
from coarse2fine.runtime.files import write_json

IMAGES = "images"

CORNER_OFFSET_PX = 0.25
"""Added to the pixel index of each corner, so that a reader finds the same pixel whether it rounds or truncates."""


def write_yolo(export: MaskExport) -> None:
    """Write ``images/train``, ``labels/train``, ``data.yaml`` and ``quality.csv``.

    Every connected part of a class is a line of its own. Class numbers start at 0 without the background.
    """

    def write_photo(photo: LoadedPhoto) -> LoadedPhoto:
        photo = _rename_image_folders(photo)
        photo.save(export.folder / IMAGES / "train")
        lines = [
            f"{label - 1} {_format_corners(ring, photo)}"
            for label in classes_in(photo.mask)
            for ring in trace_centers((photo.mask == label).astype(np.uint8))
        ]
        write_lines(export.folder / "labels" / "train" / f"{photo.name}.txt", lines)
        return photo

    with open_score_table(export) as add_score:
        for photo in export.map_photos(write_photo):
            add_score(photo)
    import yaml  # of the extra "export"

    classes = export.source.classes
    description = {"train": "images/train", "val": "images/train", "names": dict(enumerate(classes[1:]))}
    text = yaml.safe_dump(description, allow_unicode=True, sort_keys=False)
    write_lines(
        export.folder / "data.yaml", ["# val: choose your own photos; these are the training photos", text.rstrip()]
    )
    write_json(export.folder / "classes.json", list(classes))


def _rename_image_folders(photo: LoadedPhoto) -> LoadedPhoto:
    """Rename folders called ``images``: ultralytics finds the labels by replacing the last ``/images/`` of a path."""
    *folders, last = photo.source.name.split("/")
    renamed = [f"{IMAGES}-{hash_text(IMAGES)}" if folder == IMAGES else folder for folder in folders]
    return replace(photo, source=replace(photo.source, name="/".join([*renamed, last])))


def _format_corners(ring: Ring, photo: LoadedPhoto) -> str:
    height, width = photo.mask.shape
    fractions = (ring + CORNER_OFFSET_PX) / (width, height)
    return " ".join(f"{fraction:.7g}" for fraction in fractions.ravel().tolist())


YOLO = MaskFormat(write_yolo, packages=("yaml",), keeps_ignored=False, not_shown=("GIF",))
