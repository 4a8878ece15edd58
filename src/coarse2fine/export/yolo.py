"""YOLO segmentation: one polygon per line, with coordinates as fractions of width and height.

Source: https://docs.ultralytics.com/datasets/segment.
"""

import numpy as np

from coarse2fine.export.mask_format import LoadedPhoto, MaskExport, MaskFormat, write_lines, write_yaml
from coarse2fine.export.streamed_files import open_score_table
from coarse2fine.masks.polygons import Ring, trace_centers
from coarse2fine.masks.regions import classes_in
from coarse2fine.runtime.files import write_json

CORNER_OFFSET_PX = 0.25
"""Added to the pixel index of each corner, so that a reader finds the same pixel whether it rounds or truncates."""


def write_yolo(export: MaskExport) -> None:
    """Write ``images/train``, ``labels/train``, the same of ``val``, ``data.yaml`` and ``quality.csv``.

    Every connected part of a class is a line of its own. Class numbers start at 0 without the background.
    """

    def write_photo(photo: LoadedPhoto) -> LoadedPhoto:
        photo.save(export.folder / "images" / photo.split)
        lines = [
            f"{label - 1} {_format_corners(ring, photo)}"
            for label in classes_in(photo.mask)
            for ring in trace_centers((photo.mask == label).astype(np.uint8))
        ]
        write_lines(export.folder / "labels" / photo.split / f"{photo.name}.txt", lines)
        return photo

    with open_score_table(export) as add_score:
        for photo in export.map_photos(write_photo):
            add_score(photo)
    classes = export.source.classes
    description = {"train": "images/train", "val": f"images/{export.validation_folder}"}
    write_yaml(export.folder / "data.yaml", description | {"names": dict(enumerate(classes[1:]))})
    write_json(export.folder / "classes.json", list(classes))


def _format_corners(ring: Ring, photo: LoadedPhoto) -> str:
    height, width = photo.mask.shape
    fractions = (ring + CORNER_OFFSET_PX) / (width, height)
    return " ".join(f"{fraction:.7g}" for fraction in fractions.ravel().tolist())


YOLO = MaskFormat(write_yolo, packages=("yaml",), keeps_ignored=False, is_flat=True, not_shown=("GIF",))
