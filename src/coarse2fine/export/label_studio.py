"""Label Studio: tasks with brush regions as pre-annotations, and the labeling interface they need.

Source: https://labelstud.io/guide/predictions, /tags/brushlabels and /guide/storage (local storage).
"""

from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from coarse2fine.corrections.names import PHOTO_KEY, plain_text
from coarse2fine.export.mask_export import Job, Opened, write_lines
from coarse2fine.export.streamed_files import JsonFiles
from coarse2fine.masks.run_length import encode_brush

TASKS_IN_A_FILE = 1000
"""Label Studio reads a file of tasks as a whole."""


def write_label_studio(job: Job) -> None:
    """Write ``tasks-1.json``, ``tasks-2.json``, ..., ``label_config.xml`` and ``images``.

    Probabilities stand with each prediction and with each task, so that tasks can be sorted by them.
    """

    def make(photo: Opened) -> dict[str, Any]:
        photo.carry(job.folder / "images")
        return _make_task(photo)

    with JsonFiles(job.folder, "tasks", TASKS_IN_A_FILE) as files:
        for task in job.each(make):
            files.add(task)
    write_lines(
        job.folder / "label_config.xml",
        [
            "<View>",
            '  <Image name="photo" value="$image" zoom="true" zoomControl="true" rotateControl="false"/>',
            '  <BrushLabels name="mask" toName="photo">',
            *(f'    <Label value={quoteattr(name)} background="{job.color(label)}"/>' for label, name in job.labels),
            "  </BrushLabels>",
            "</View>",
        ],
    )


def _make_task(photo: Opened) -> dict[str, Any]:
    job, label = photo.job, photo.sample.label
    data: dict[str, Any] = {"image": job.prefix + quote(photo.file), PHOTO_KEY: photo.name}
    data |= {} if label is None else {"class": plain_text(job.classes[label])}
    data |= {} if photo.score is None else {"quality": photo.score}
    prediction: dict[str, Any] = {"model_version": f"coarse2fine {job.title}", "result": _make_regions(photo)}
    prediction |= {} if photo.score is None else {"score": photo.score}
    return {"data": data, "predictions": [prediction]}


def _make_regions(photo: Opened) -> list[dict[str, Any]]:
    (height, width), names = photo.mask.shape, dict(photo.job.labels)
    regions = []
    for number, item in enumerate(photo.objects(ignored=True), start=1):
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
                    "rle": encode_brush(item.on(height, width)),
                    "brushlabels": [names[item.label]],
                },
            }
        )
    return regions
