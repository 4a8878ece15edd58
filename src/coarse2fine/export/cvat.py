"""CVAT for images 1.1: one XML file with masks as run lengths, and the labels that a task needs.

Source: https://docs.cvat.ai, XML annotation format and CVAT for image.
"""

import json
from xml.sax.saxutils import escape, quoteattr

from coarse2fine.export.mask_export import Job, Object, Opened, write_lines
from coarse2fine.masks.run_length import encode_counts


def write_cvat(job: Job) -> None:
    """Write ``annotations.xml``, ``labels.json`` (a task's labels, raw) and ``images``; scores are attributes."""

    def make(photo: Opened) -> tuple[Opened, list[str]]:
        photo.carry(job.folder / "images")
        return photo, [_spell_mask(item, photo) for item in photo.objects(ignored=True)]

    quality = {"name": "quality", "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
    labels = [
        {"name": name, "color": job.color(label), "type": "mask", "attributes": [quality] * job.has_quality}
        for label, name in job.labels
    ]
    write_lines(job.folder / "labels.json", [json.dumps(labels, indent=2)])
    with (job.folder / "annotations.xml").open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        file.writelines(_spell_labels(job))
        for number, (photo, masks) in enumerate(job.each(make)):
            height, width = photo.mask.shape
            file.write(f'  <image id="{number}" name={quoteattr(photo.file)} width="{width}" height="{height}">\n')
            file.writelines(masks)
            file.write("  </image>\n")
        file.write("</annotations>\n")


def _spell_labels(job: Job) -> list[str]:
    attribute = "<attribute><name>quality</name><input_type>text</input_type></attribute>" * job.has_quality
    labels = [
        f"      <label><name>{escape(name)}</name><color>{job.color(label)}</color><type>mask</type>"
        f"<attributes>{attribute}</attributes></label>\n"
        for label, name in job.labels
    ]
    return ["  <meta><task><labels>\n", *labels, "  </labels></task></meta>\n"]


def _spell_mask(item: Object, photo: Opened) -> str:
    box, name = item.box, dict(photo.job.labels)[item.label]
    counts = ", ".join(map(str, encode_counts(item.crop)))
    head = (
        f'    <mask label={quoteattr(name)} source="auto" occluded="0" rle="{counts}" left="{box.x0}" '
        f'top="{box.y0}" width="{box.x1 - box.x0}" height="{box.y1 - box.y0}" z_order="0">\n'
    )
    score = "" if photo.score is None else f'      <attribute name="quality">{photo.score}</attribute>\n'
    return f"{head}{score}    </mask>\n"
