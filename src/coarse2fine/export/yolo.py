"""YOLO segmentation: one polygon per line, in shares of width and height.

Source: https://docs.ultralytics.com/datasets/segment.
"""

import numpy as np

from coarse2fine.export.mask_export import Job, Opened, write_lines
from coarse2fine.export.polygons import Ring, trace_centers
from coarse2fine.export.streamed_files import QualityTable
from coarse2fine.masks.regions import classes_in
from coarse2fine.runtime.files import write_json

INTO_PIXEL = 0.25
"""How far corners lie beyond their pixel's index: whether a reader rounds or cuts off, it finds the same pixel."""


def write_yolo(job: Job) -> None:
    """Write ``images/train``, ``labels/train`` and ``data.yaml``; scores go into a table.

    Every connected part is a line of its own. Class numbers count from 0 without background. Ignored pixels have no
    place and become background.
    """

    def write(photo: Opened) -> Opened:
        photo.carry(job.folder / "images" / "train")
        lines = [
            f"{label - 1} {_spell(ring, photo)}"
            for label in classes_in(photo.mask)
            for ring in trace_centers((photo.mask == label).astype(np.uint8))
        ]
        write_lines(job.folder / "labels" / "train" / f"{photo.name}.txt", lines)
        return photo

    with QualityTable(job) as table:
        for photo in job.each(write):
            table.add(photo)
            job.lose("ignored pixels became background", photo.has_ignored)
    import yaml

    described = {"train": "images/train", "val": "images/train", "names": dict(enumerate(job.classes[1:]))}
    text = yaml.safe_dump(described, allow_unicode=True, sort_keys=False)
    write_lines(
        job.folder / "data.yaml", ["# val: choose your own photos; these are the training photos", text.rstrip()]
    )
    write_json(job.folder / "classes.json", list(job.classes))


def _spell(ring: Ring, photo: Opened) -> str:
    height, width = photo.mask.shape
    shares = (ring + INTO_PIXEL) / (width, height)
    return " ".join(f"{share:.7g}" for share in shares.ravel().tolist())
