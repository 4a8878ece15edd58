"""Folders ``images`` and ``masks`` with train and val, for trainers of semantic segmentation that read PNG masks.

Ultralytics (task semantic) and LightlyTrain read the same files; their descriptions of the data set differ.

Sources: https://docs.ultralytics.com/datasets/semantic,
https://docs.lightly.ai/train/stable/semantic_segmentation.html.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from coarse2fine.export.mask_format import LoadedPhoto, MaskExport, MaskFormat, write_bytes, write_yaml
from coarse2fine.export.streamed_files import open_score_table
from coarse2fine.masks.png import encode_gray
from coarse2fine.runtime.files import write_json
from coarse2fine.types import IGNORE

YAML_NAME = "data.yaml"

Describe = Callable[[Mapping[int, str], str], dict[str, Any]]


def describe_for_ultralytics(classes: Mapping[int, str], validation: str) -> dict[str, Any]:
    """Return the data YAML of ``yolo semantic train``; 255 is ignored without being named."""
    return {"train": "images/train", "val": f"images/{validation}", "masks_dir": "masks", "names": dict(classes)}


def describe_for_lightly(classes: Mapping[int, str], validation: str) -> dict[str, Any]:
    """Return the argument ``data`` of ``lightly_train.train_semantic_segmentation``."""
    parts = {"train": "train", "val": validation}
    return {
        **{name: {"images": f"images/{part}", "masks": f"masks/{part}"} for name, part in parts.items()},
        "classes": {**classes, IGNORE: "ignore"},
        "ignore_classes": [IGNORE],
    }


def write_folders(export: MaskExport, describe: Describe) -> None:
    """Write ``images/train``, ``masks/train``, the same of ``val``, ``data.yaml`` and ``quality.csv``.

    The masks are gray PNGs of class indices: torchvision, which LightlyTrain uses, expands a palette to colors.

    Args:
        export: The export.
        describe: Makes the content of ``data.yaml`` of the class names by index and the name of the validation folder.
    """

    def write_photo(photo: LoadedPhoto) -> LoadedPhoto:
        photo.save(export.folder / "images" / photo.split)
        write_bytes(export.folder / "masks" / photo.split / f"{photo.name}.png", encode_gray(photo.mask))
        return photo

    with open_score_table(export) as add_score:
        for photo in export.map_photos(write_photo):
            add_score(photo)
    classes = export.source.classes
    write_yaml(export.folder / YAML_NAME, describe(dict(enumerate(classes)), export.validation_folder))
    write_json(export.folder / "classes.json", list(classes))


ULTRALYTICS, LIGHTLY = (
    MaskFormat(
        partial(write_folders, describe=describe),
        packages=("yaml",),
        has_instances=False,
        is_flat=True,
        not_shown=("GIF",),
    )
    for describe in (describe_for_ultralytics, describe_for_lightly)
)
