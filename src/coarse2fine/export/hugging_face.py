"""Hugging Face: Parquet files for ``datasets.load_dataset`` with photo, mask, label, classes and quality score.

Source: https://huggingface.co/docs/datasets, parquet and dataset cards.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coarse2fine.corrections.photo_names import sanitize_name
from coarse2fine.export.mask_format import (
    TRAIN,
    VALIDATION,
    LoadedPhoto,
    MaskExport,
    MaskFormat,
    encode_upright,
    write_lines,
)
from coarse2fine.masks.png import encode_mask
from coarse2fine.masks.regions import classes_in

if TYPE_CHECKING:  # of the extra "export"
    import pyarrow

SPLITS = {TRAIN: "train", VALIDATION: "validation"}
"""Name of each part in the terms of ``datasets``."""

GROUP_ROWS = 100
GROUP_BYTES = 32 << 20
FILE_BYTES = 500 << 20


def write_hugging_face(export: MaskExport) -> None:
    """Write ``data/train-00000.parquet``, ..., the same of ``validation``, and the dataset card ``README.md``.

    Columns: ``image`` and ``mask`` (images), ``photo`` (name), ``label`` (of training photos with one label),
    ``classes`` (names of the classes in the mask) and ``quality`` (if any mask has a score). With ``--images none``,
    ``image`` is missing.
    """
    folder = export.folder / "data"
    folder.mkdir()
    schema = _make_schema(export)
    files = {split: _ParquetFiles(folder, SPLITS[split], schema) for split in export.splits}
    try:
        for split, row in export.map_photos(lambda photo: (photo.split, _make_row(photo))):
            files[split].add(row)
        for one in files.values():
            one.flush()
    finally:
        for one in files.values():
            one.close()
    _write_card(export)


def _make_row(photo: LoadedPhoto) -> dict[str, Any]:
    export, labels = photo.export, photo.source.labels or ()
    row: dict[str, Any] = {
        "mask": {"bytes": encode_mask(photo.mask), "path": f"{photo.name}.png"},
        "photo": photo.name,
        "label": labels[0] if len(labels) == 1 else None,
        "classes": [export.source.classes[index] for index in classes_in(photo.mask)],
    }
    if export.config.images != "none":
        row["image"] = {"bytes": _read_bytes(photo), "path": photo.file_name}
    if export.source.has_scores:
        row["quality"] = photo.score
    return row


def _read_bytes(photo: LoadedPhoto) -> bytes:
    if not photo.header.turned:
        return photo.source.path.read_bytes()
    return encode_upright(photo.source.path, photo.header.kind)


class _ParquetFiles:
    """Writes rows to Parquet files of bounded size, in row groups of bounded size."""

    def __init__(self, folder: Path, split: str, schema: "pyarrow.Schema") -> None:
        self.folder, self.split, self.schema = folder, split, schema
        self.rows: list[dict[str, Any]] = []
        self.waiting_bytes = self.written_bytes = self.files = 0
        self.writer: Any = None

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.waiting_bytes += sum(len(row[name]["bytes"]) for name in ("image", "mask") if name in row)
        if len(self.rows) >= GROUP_ROWS or self.waiting_bytes >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        import pyarrow
        from pyarrow import parquet

        if self.rows:
            if self.writer is None or self.written_bytes >= FILE_BYTES:
                self.close()
                path = self.folder / f"{self.split}-{self.files:05d}.parquet"
                self.writer = parquet.ParquetWriter(path, self.schema)
                self.files, self.written_bytes = self.files + 1, 0
            self.writer.write_table(pyarrow.Table.from_pylist(self.rows, self.schema))
            self.written_bytes += self.waiting_bytes
            self.rows, self.waiting_bytes = [], 0

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


def _make_schema(export: MaskExport) -> "pyarrow.Schema":
    """Return the Arrow columns; the metadata of the schema holds their types in the terms of ``datasets``."""
    import pyarrow

    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    text = {"dtype": "string", "_type": "Value"}
    names = [sanitize_name(name) for name in export.source.classes]
    columns: dict[str, tuple[Any, Any]] = {
        "image": ({"_type": "Image"}, image),
        "mask": ({"_type": "Image"}, image),
        "photo": (text, pyarrow.string()),
        "label": ({"names": names, "_type": "ClassLabel"}, pyarrow.int64()),
        "classes": ({"feature": text, "_type": "Sequence"}, pyarrow.list_(pyarrow.string())),
        "quality": ({"dtype": "float64", "_type": "Value"}, pyarrow.float64()),
    }
    if export.config.images == "none":
        del columns["image"]
    if not export.source.has_scores:
        del columns["quality"]
    features = {name: feature for name, (feature, _) in columns.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pyarrow.schema([(name, kind) for name, (_, kind) in columns.items()], metadata)


def _write_card(export: MaskExport) -> None:
    import yaml

    splits = dict.fromkeys((TRAIN, export.validation_folder))
    files = [{"split": SPLITS[split], "path": f"data/{SPLITS[split]}-*.parquet"} for split in splits]
    head = {"configs": [{"config_name": "default", "data_files": files}]}
    text = yaml.safe_dump(head | {"task_categories": ["image-segmentation"]}, allow_unicode=True, sort_keys=False)
    lines = [
        f"---\n{text}---",
        "",
        f"Masks by coarse2fine ({export.source.title}). Pixels of `mask` are class indices; 255 is ignored.",
        "",
        *(f"    {label} {sanitize_name(name)}" for label, name in enumerate(export.source.classes)),
    ]
    write_lines(export.folder / "README.md", lines)


HUGGING_FACE = MaskFormat(write_hugging_face, packages=("pyarrow", "yaml"), has_instances=False, has_links=False)
