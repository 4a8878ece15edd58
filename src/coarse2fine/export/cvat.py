"""CVAT for images 1.1: one XML file with masks as run lengths, and the label definitions of a task.

Source: https://docs.cvat.ai, XML annotation format and CVAT for image.
"""

import json
from xml.sax.saxutils import escape, quoteattr

from coarse2fine.export.mask_format import LoadedPhoto, MaskExport, MaskFormat, write_lines
from coarse2fine.masks.objects import ObjectMask
from coarse2fine.masks.palette import hex_color
from coarse2fine.masks.run_length import encode_counts


def write_cvat(export: MaskExport) -> None:
    """Write ``annotations.xml``, ``labels.json`` (the raw labels of a task) and ``images``.

    Quality scores are attributes of the masks.
    """

    def write_photo(photo: LoadedPhoto) -> tuple[LoadedPhoto, list[str]]:
        photo.save(export.folder / "images")
        return photo, [_format_mask(item, photo) for item in photo.objects(include_ignored=True)]

    attribute = {"name": "quality", "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
    labels = [
        {"name": name, "color": hex_color(label), "type": "mask", "attributes": [attribute] * export.source.has_scores}
        for label, name in export.annotation_labels
    ]
    write_lines(export.folder / "labels.json", [json.dumps(labels, indent=2)])
    with (export.folder / "annotations.xml").open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        file.writelines(_format_labels(export))
        for number, (photo, masks) in enumerate(export.map_photos(write_photo)):
            name, (height, width) = quoteattr(photo.file_name), photo.mask.shape
            file.write(f'  <image id="{number}" name={name} width="{width}" height="{height}">\n')
            file.writelines(masks)
            file.write("  </image>\n")
        file.write("</annotations>\n")


def _format_labels(export: MaskExport) -> list[str]:
    attribute = "<attribute><name>quality</name><input_type>text</input_type></attribute>" * export.source.has_scores
    labels = [
        f"      <label><name>{escape(name)}</name><color>{hex_color(label)}</color><type>mask</type>"
        f"<attributes>{attribute}</attributes></label>\n"
        for label, name in export.annotation_labels
    ]
    return ["  <meta><task><labels>\n", *labels, "  </labels></task></meta>\n"]


def _format_mask(item: ObjectMask, photo: LoadedPhoto) -> str:
    box, name = item.box, dict(photo.export.annotation_labels)[item.label]
    counts = ", ".join(map(str, encode_counts(item.crop)))
    head = (
        f'    <mask label={quoteattr(name)} source="auto" occluded="0" rle="{counts}" left="{box.x0}" '
        f'top="{box.y0}" width="{box.x1 - box.x0}" height="{box.y1 - box.y0}" z_order="0">\n'
    )
    score = "" if photo.score is None else f'      <attribute name="quality">{photo.score}</attribute>\n'
    return f"{head}{score}    </mask>\n"


CVAT = MaskFormat(write_cvat, for_correction=True, has_validation=False)
