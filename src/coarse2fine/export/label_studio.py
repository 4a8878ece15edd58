"""Label Studio: tasks with brush regions as predictions, and the labeling interface that they need.

Source: https://labelstud.io/guide/predictions, /tags/brushlabels and /guide/storage (local storage).
"""

from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from coarse2fine.corrections.photo_names import PHOTO_KEY, sanitize_name
from coarse2fine.export.mask_format import LoadedPhoto, MaskExport, MaskFormat, write_lines
from coarse2fine.export.streamed_files import write_task_files
from coarse2fine.masks.palette import hex_color
from coarse2fine.masks.run_length import encode_brush

TASKS_PER_FILE = 1000
"""Label Studio reads a whole file of tasks into memory."""


def write_label_studio(export: MaskExport) -> None:
    """Write ``tasks-1.json``, ``tasks-2.json``, ..., ``label_config.xml`` and ``images``.

    Quality scores are stored with each prediction and with each task, so that tasks can be sorted by them.
    """

    def write_photo(photo: LoadedPhoto) -> dict[str, Any]:
        photo.save(export.folder / "images")
        return _make_task(photo)

    write_task_files(export.folder, export.map_photos(write_photo), TASKS_PER_FILE)
    labels = [(quoteattr(name), hex_color(label)) for label, name in export.annotation_labels]
    write_lines(
        export.folder / "label_config.xml",
        [
            "<View>",
            '  <Image name="photo" value="$image" zoom="true" zoomControl="true" rotateControl="false"/>',
            '  <BrushLabels name="mask" toName="photo">',
            *(f'    <Label value={name} background="{color}"/>' for name, color in labels),
            "  </BrushLabels>",
            "</View>",
        ],
    )


def _make_task(photo: LoadedPhoto) -> dict[str, Any]:
    export, class_names = photo.export, photo.class_names
    data: dict[str, Any] = {"image": export.image_prefix + quote(photo.file_name), PHOTO_KEY: photo.name}
    data |= {} if class_names is None else {"class": sanitize_name(class_names)}
    data |= {} if photo.score is None else {"quality": photo.score}
    prediction: dict[str, Any] = {
        "model_version": f"coarse2fine {export.source.title}",
        "result": _make_brush_regions(photo),
    }
    prediction |= {} if photo.score is None else {"score": photo.score}
    return {"data": data, "predictions": [prediction]}


def _make_brush_regions(photo: LoadedPhoto) -> list[dict[str, Any]]:
    (height, width), names = photo.mask.shape, dict(photo.export.annotation_labels)
    regions = []
    for number, item in enumerate(photo.objects(include_ignored=True), start=1):
        regions.append(
            {
                "id": f"region{number}",
                "type": "brushlabels",
                "from_name": "mask",
                "to_name": "photo",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    "format": "rle",
                    "rle": encode_brush(item.to_full_size(height, width)),
                    "brushlabels": [names[item.label]],
                },
            }
        )
    return regions


# Browsers except Safari show no TIFF.
LABEL_STUDIO = MaskFormat(
    write_label_studio, for_correction=True, has_validation=False, has_image_addresses=True, not_shown=("TIFF",)
)
