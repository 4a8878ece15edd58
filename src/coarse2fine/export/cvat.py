"""CVAT for images 1.1: one XML file with masks as run lengths, and the labels that a task needs.

Source: https://docs.cvat.ai, XML annotation format and CVAT for image.
"""

import json
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from coarse2fine.corrections.names import plain_text
from coarse2fine.export.job import Job, Object, Opened, write_lines
from coarse2fine.rle import encode_counts
from coarse2fine.types import BACKGROUND, IGNORE


def write_cvat(job: Job) -> None:
    """Write ``annotations.xml``, ``labels.json`` (a task's labels, raw) and ``images``; scores are attributes."""

    def make(photo: Opened) -> tuple[Opened, list[str]]:
        photo.carry(job.folder / "images")
        return photo, [_spell_mask(item, photo) for item in photo.objects(ignored=True)]

    ignored = False
    with (job.folder / "annotations.xml").open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        for number, (photo, masks) in enumerate(job.each(make)):
            height, width = photo.mask.shape
            file.write(f'  <image id="{number}" name={quoteattr(photo.file)} width="{width}" height="{height}">\n')
            file.writelines(masks)
            file.write("  </image>\n")
            ignored = ignored or photo.loses_ignored
        file.write("</annotations>\n")
    attributes = [
        {"name": "quality", "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
    ] * job.has_quality
    labels: list[dict[str, Any]] = [
        {"name": plain_text(name), "color": job.colour(label), "type": "mask", "attributes": attributes}
        for label, name in [*enumerate(job.classes), (IGNORE, job.ignore)]
        if label != BACKGROUND and (label != IGNORE or ignored)
    ]
    write_lines(job.folder / "labels.json", [json.dumps(labels, indent=2)])


def _spell_mask(item: Object, photo: Opened) -> str:
    box = item.box
    name = photo.job.ignore if item.label == IGNORE else photo.job.classes[item.label]
    counts = ", ".join(map(str, encode_counts(item.crop)))
    head = (
        f'    <mask label={quoteattr(plain_text(name))} source="auto" occluded="0" rle="{counts}" left="{box.x0}" '
        f'top="{box.y0}" width="{box.x1 - box.x0}" height="{box.y1 - box.y0}" z_order="0">\n'
    )
    score = "" if photo.score is None else f'      <attribute name="quality">{escape(str(photo.score))}</attribute>\n'
    return f"{head}{score}    </mask>\n"
