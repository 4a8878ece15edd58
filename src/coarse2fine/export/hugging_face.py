"""A folder for ``datasets.load_dataset``: Parquet files with photo, mask, label, classes and score.

Source: https://huggingface.co/docs/datasets, parquet and dataset cards.
"""

import json
from typing import Any

import pyarrow
from pyarrow import parquet

from coarse2fine.corrections.names import plain_text
from coarse2fine.export.mask_export import Job, Opened, encode_upright, write_lines
from coarse2fine.masks.png import encode_mask
from coarse2fine.masks.regions import classes_in

GROUP_ROWS = 100
GROUP_BYTES = 32 << 20
FILE_BYTES = 500 << 20


def write_hugging_face(job: Job) -> None:
    """Write ``data/train-00000.parquet``, ... and ``README.md``, a dataset card that names the columns.

    Columns: ``image`` and ``mask`` (pictures), ``photo`` (its name), ``label`` (of training photos), ``classes`` (names
    of those in the mask) and ``quality`` (where there is one). Without images there is no column of them.
    """
    files = _ParquetFiles(job, _make_schema(job))
    try:
        for row in job.each(_make_row):
            files.add(row)
        files.flush()
    finally:
        files.close()
    _write_card(job)


def _make_row(photo: Opened) -> dict[str, Any]:
    job, label = photo.job, photo.sample.label
    row: dict[str, Any] = {
        "mask": {"bytes": encode_mask(photo.mask), "path": f"{photo.name}.png"},
        "photo": photo.name,
        "label": label,
        "classes": [job.classes[index] for index in classes_in(photo.mask)],
    }
    if job.config.images != "none":
        row["image"] = {"bytes": _read_bytes(photo), "path": photo.file}
    if job.has_quality:
        row["quality"] = photo.score
    return row


def _read_bytes(photo: Opened) -> bytes:
    if not photo.header.turned:
        return photo.sample.photo.read_bytes()
    return encode_upright(photo.sample.photo, photo.header.kind)


class _ParquetFiles:
    """Parquet files of bounded size, written in groups of bounded size."""

    def __init__(self, job: Job, schema: pyarrow.Schema) -> None:
        self.folder, self.schema = job.folder / "data", schema
        self.folder.mkdir()
        self.rows: list[dict[str, Any]] = []
        self.waiting = self.written = self.files = 0
        self.writer: Any = None

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.waiting += sum(len(row[name]["bytes"]) for name in ("image", "mask") if name in row)
        if len(self.rows) >= GROUP_ROWS or self.waiting >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        if self.rows:
            if self.writer is None or self.written >= FILE_BYTES:
                self.close()
                path = self.folder / f"train-{self.files:05d}.parquet"
                self.writer = parquet.ParquetWriter(path, self.schema)
                self.files, self.written = self.files + 1, 0
            self.writer.write_table(pyarrow.Table.from_pylist(self.rows, self.schema))
            self.written += self.waiting
            self.rows, self.waiting = [], 0

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


def _make_schema(job: Job) -> pyarrow.Schema:
    """Columns of Arrow, with what ``datasets`` calls them in the schema's metadata."""
    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    text = {"dtype": "string", "_type": "Value"}
    names = [plain_text(name) for name in job.classes]
    columns: dict[str, tuple[Any, Any]] = {
        "image": ({"_type": "Image"}, picture),
        "mask": ({"_type": "Image"}, picture),
        "photo": (text, pyarrow.string()),
        "label": ({"names": names, "_type": "ClassLabel"}, pyarrow.int64()),
        "classes": ({"feature": text, "_type": "Sequence"}, pyarrow.list_(pyarrow.string())),
        "quality": ({"dtype": "float64", "_type": "Value"}, pyarrow.float64()),
    }
    if job.config.images == "none":
        del columns["image"]
    if not job.has_quality:
        del columns["quality"]
    features = {name: feature for name, (feature, _) in columns.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pyarrow.schema([(name, kind) for name, (_, kind) in columns.items()], metadata)


def _write_card(job: Job) -> None:
    import yaml

    head = {"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}]}
    text = yaml.safe_dump(head | {"task_categories": ["image-segmentation"]}, allow_unicode=True, sort_keys=False)
    lines = [
        f"---\n{text}---",
        "",
        f"Masks by coarse2fine ({job.title}). Pixels of `mask` are class indices; 255 is ignored.",
        "",
        *(f"    {label} {plain_text(name)}" for label, name in enumerate(job.classes)),
    ]
    write_lines(job.folder / "README.md", lines)
