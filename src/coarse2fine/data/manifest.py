"""Data sets as manifests: a table (CSV, Parquet) or JSON file with the path and the labels of each photo."""

import csv
import math
import os
import re
import unicodedata
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from coarse2fine.data.class_folders import clean_label, hash_text, index_classes, make_dataset, unique_names
from coarse2fine.data.label_json import read_label_json
from coarse2fine.data.parquet_pages import measure_pages
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.runtime.extras import install_command
from coarse2fine.runtime.files import MAX_CSV_BYTES
from coarse2fine.types import BACKGROUND, FOREGROUND_CLASSES, LABEL_SEPARATOR, Dataset, Skipped

_MAX_NAME_BYTES = 120
_ROWS_PER_BATCH = 64
_BYTES_PER_CELL = 100
_PATHS = ("path", "file_name", "filename")
_LABELS = ("label", "labels")
_TRUTH = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "": 0}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[;,\t]*[\r\n]*', re.IGNORECASE)
_UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[ ]*(\..*)?", re.IGNORECASE)
_HASHED = re.compile(r".*-[0-9a-f]{8}", re.DOTALL)


@dataclass(frozen=True)
class _Row:
    where: str
    path: str
    label: str = FOREGROUND_CLASSES[1]

    @property
    def labels(self) -> set[str]:
        """The class names of the row; empty for a photo without any of the classes."""
        return {clean_label(name) for name in self.label.split(LABEL_SEPARATOR)} - {""}


def read_manifest(file: Path, labeled: bool = True) -> Dataset:
    """List the photos of a manifest, without decoding a photo.

    Args:
        file: ``.csv`` (UTF-8, or UTF-16 as Excel writes it; comma, semicolon or tab) or ``.parquet``, with the columns
            ``path`` (or ``file_name``, ``filename``) and ``label`` in any case and order; other columns are ignored.
            Without a column ``label``, each other column is a class, with 1 where the photo shows it and 0 elsewhere.
            Or a JSON file that :func:`~coarse2fine.data.label_json.read_label_json` reads. Paths are relative to the
            folder of ``file`` and stay inside it; backslashes, as on Windows, count as ``/``. A label is a class name,
            several names separated by ``|`` (in Parquet also a list), or empty for a photo without any of the classes.
            Several rows of one photo give it all their labels. Labels that look alike are one class
            (:func:`~coarse2fine.data.class_folders.clean_label`).
        labeled: Whether the photos have labels; if not, ``label`` may be missing, and the only class is foreground.
            Only photos with an empty label beside photos with a label are photos without foreground.

    Returns:
        The data set, classes sorted as text. Rows that cannot be used are skipped, with their line in the reason.

    Raises:
        DataError: ``file`` cannot be read, has no such column, no usable row with a label, a class called background,
            too many classes, or a photo with a label in one row and none in another.
        ConfigError: The file is Parquet, and pyarrow is not installed.
    """
    root, suffix = file.parent, file.suffix.lower()
    if suffix in (".json", ".jsonl"):
        root, labels = read_label_json(file)
        rows = [_Row(*one) for one in labels]
    else:
        rows = _read_parquet(file, labeled) if suffix == ".parquet" else _read_csv(file, labeled)
    if not labeled:
        rows = _replace_labels(rows)
    folder, real_folder = str(root.absolute()), os.path.realpath(root)
    located = [(row, _locate(row, folder, real_folder)) for row in rows]
    skipped = [
        Skipped(Path(row.path or file), f"{row.where}: {found}") for row, found in located if isinstance(found, str)
    ]
    usable, repeated = _settle([(row, found) for row, found in located if isinstance(found, Path)], file)
    skipped += repeated
    if not any(labels for _, labels in usable):
        first = f"; the first was skipped: {skipped[0].reason}" if skipped else ""
        raise DataError(f"{file} must have at least one row with a photo and a label, found {len(rows)} rows{first}.")
    classes = index_classes({label for _, labels in usable for label in labels}, file)
    names = unique_names([f"{_folder_of(labels, labeled)}{path.as_posix()}" for path, labels in usable])
    photos = [(root / path, name, labels) for name, (path, labels) in zip(names, usable, strict=True)]
    return make_dataset(classes, photos, skipped)


def safe_name(text: str) -> str:
    """Convert a label to a file name that is valid on every operating system.

    Args:
        text: Any text.

    Returns:
        ``text`` itself if it is a valid name; else its valid characters and a hash of the whole text, so that different
        labels get different names. 1 to 120 bytes of UTF-8.
    """
    clean = _UNSAFE.sub("_", text).strip(". ") or "_"
    if _DEVICE.fullmatch(clean):
        clean = f"_{clean}"
    if clean == text and len(text.encode()) <= _MAX_NAME_BYTES and not _HASHED.fullmatch(text):
        return text
    start = clean.encode()[: _MAX_NAME_BYTES - 9].decode("utf-8", "ignore")
    return f"{start}-{hash_text(text)}"


def _read_csv(file: Path, labeled: bool) -> list[_Row]:
    try:
        with file.open("rb") as content:
            encoding = "utf-16" if content.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig"
        with file.open(encoding=encoding, newline="") as lines:
            header, delimiter, above = _find_header(lines)
            reader = csv.reader(chain([header], lines), delimiter=delimiter)
            return _collect_rows(reader, _find_columns(next(reader, []), labeled, file), above)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}).") from error
    except (UnicodeError, csv.Error) as error:
        raise DataError(f"{file} must be a table in UTF-8 text: {error}. In Excel, save it as 'CSV UTF-8'.") from error


def _find_header(lines: Iterable[str]) -> tuple[str, str, int]:
    """Return the first line that is not blank, the delimiter, and the number of lines above.

    Excel writes and reads a line such as ``sep=;`` above the header.
    """
    given = None
    for above, line in enumerate(lines):
        if separator := _SEPARATOR_LINE.fullmatch(line):
            given = separator[1]
        elif line.strip(" \t\r\n,;"):
            return line, given or max(",;\t", key=line.count), above
    return "", ",", 0


def _collect_rows(reader: Any, columns: "_Columns", above: int) -> list[_Row]:
    rows = []
    line = above + reader.line_num + 1
    for cells in reader:
        if any(map(str.strip, cells)):
            padded = [cells[at].strip() if at < len(cells) else "" for at in columns.indices]
            rows.append(columns.make_row(f"line {line}", padded))
        line = above + reader.line_num + 1
    return rows


def _read_parquet(file: Path, labeled: bool) -> list[_Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(f"Reading {file} needs pyarrow: {install_command('parquet')}") from error
    try:
        with parquet.ParquetFile(file) as table:
            names = table.schema_arrow.names
            columns = _find_columns(names, labeled, file)
            _, page_bytes = measure_pages(file, [names[at] for at in columns.indices])
            rows = max(1, min(_ROWS_PER_BATCH, MAX_CSV_BYTES // max(1, page_bytes)))  # a cell may be as large as a page
            cells = [_read_column(table, names[at], rows, file) for at in columns.indices]
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise DataError(f"{file} must be a readable Parquet table: {error}.") from error
    texts = [[_text_of(cell, file) for cell in column] for column in cells]
    return [columns.make_row(f"row {at}", values) for at, values in enumerate(zip(*texts, strict=True), start=1)]


def _read_column(table: Any, name: str, rows_per_batch: int, file: Path) -> list[object]:
    """Return the cells of a column of a Parquet table, a few rows at a time: small files may hold huge columns."""
    cells: list[object] = []
    size = 0
    for batch in table.iter_batches(rows_per_batch, columns=[name]):
        size += batch.nbytes + _BYTES_PER_CELL * len(batch)
        rows = batch.column(0).to_pylist() if size <= MAX_CSV_BYTES else []
        size += sum(len(str(cell)) for cell in rows)  # a repeated text is stored once
        if size > MAX_CSV_BYTES:
            raise DataError(
                f"{file} must take at most {MAX_CSV_BYTES >> 20} MB of memory per column, but '{name}' takes more "
                f"up to row {len(cells) + len(batch)} of {table.metadata.num_rows}; split the table."
            )
        cells += rows
    if len(cells) != table.metadata.num_rows:
        raise DataError(
            f"{file} must have {table.metadata.num_rows} rows in each column, as its metadata says, but '{name}' has "
            f"{len(cells)}; the file is damaged, write it again."
        )
    return cells


def _text_of(cell: object, file: Path) -> str:
    """Return the text of a cell of a Parquet table; "" for a missing value."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):  # a missing value of pandas
        return ""
    if isinstance(cell, bytes):
        try:
            return cell.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{file} must hold text in UTF-8, but holds the bytes {cell[:20]!r}.") from error
    if isinstance(cell, list):
        return LABEL_SEPARATOR.join(_text_of(part, file) for part in cell)
    if isinstance(cell, dict):
        raise DataError(f"{file} must hold text in the columns path and label, but holds {str(cell)[:60]}.")
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()


@dataclass(frozen=True)
class _Columns:
    """The columns of a table that are read.

    Attributes:
        file: The table.
        indices: Positions: the path; then the label, or one column for each class.
        classes: Names of the classes, if each has a column.
    """

    file: Path
    indices: tuple[int, ...]
    classes: tuple[str, ...] = ()

    def make_row(self, where: str, cells: Sequence[str]) -> _Row:
        """Return a row of the cells at ``indices``."""
        if not self.classes:
            return _Row(where, *cells)
        shown = []
        for name, cell in zip(self.classes, cells[1:], strict=True):
            if cell.casefold() not in _TRUTH:
                raise DataError(
                    f"{self.file} must have a column label, or for each class a column of 0 and 1; it has no column "
                    f"label, and its column {name} holds '{cell[:60]}' in {where}. Remove this column, or add labels."
                )
            shown += [name] * _TRUTH[cell.casefold()]
        return _Row(where, cells[0], LABEL_SEPARATOR.join(shown))


def _find_columns(header: Sequence[str], labeled: bool, file: Path) -> _Columns:
    names = [clean_label(name).casefold() for name in header]
    path, label = (next((name for name in group if name in names), group[0]) for group in (_PATHS, _LABELS))
    if names.count(path) == 1 and names.count(label) == 1:
        return _Columns(file, (names.index(path), names.index(label)))
    if names.count(path) == 1 and not labeled:
        return _Columns(file, (names.index(path),))
    classes = {at: clean_label(name) for at, name in enumerate(header) if names[at] not in ("", path)}
    if names.count(path) == 1 and not names.count(label) and classes:
        _check_classes(list(classes.values()), file)
        return _Columns(file, (names.index(path), *classes), tuple(classes.values()))
    needed = "path and one column label" if labeled else "path"
    raise DataError(f"{file} must have one column {needed}; its columns are: {', '.join(header) or 'none'}.")


def _check_classes(classes: Sequence[str], file: Path) -> None:
    for name in classes:
        if LABEL_SEPARATOR in name or classes.count(name) > 1:
            raise DataError(
                f"{file} must have columns of classes with distinct names without '{LABEL_SEPARATOR}', but one is "
                f"'{name}'; rename it."
            )


def _locate(row: _Row, folder: str, real_folder: str) -> Path | str:
    """Return the photo of a row, relative to ``folder``, or the reason why the row cannot be used."""
    if not row.path:
        return "the path is empty"
    try:
        relative = os.path.relpath(Path(folder, row.path), folder)
        if not Path(folder, relative).is_file():
            relative = _find_spelling(os.path.relpath(Path(folder, row.path.replace("\\", "/")), folder), folder)
        real = os.path.realpath(f"{real_folder}/{relative}")
        if Path(relative).parts[:1] == ("..",) or not Path(real).is_relative_to(real_folder):
            return f"is outside of {folder}, the folder of the table"
        return Path(relative) if Path(real).is_file() else "no such file"
    except (ValueError, OSError):  # a null character, another drive on Windows, a name that is too long
        return "no such file"


def _find_spelling(relative: str, folder: str) -> str:
    """Return a path with the accents of its parts composed or decomposed as in the files; macOS decomposes them."""
    found = Path(folder)
    for part in Path(relative).parts:
        spellings = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        found /= next((spelling for spelling in spellings if (found / spelling).exists()), part)
    return str(found.relative_to(folder))


def _replace_labels(rows: list[_Row]) -> list[_Row]:
    """Replace all labels by foreground; empty ones stay empty if any row has a label."""
    has_labels = any(row.labels for row in rows)
    return [replace(row, label=FOREGROUND_CLASSES[1] if row.labels or not has_labels else "") for row in rows]


def _folder_of(labels: Sequence[str], labeled: bool) -> str:
    """Return the folder of a photo's name: its first label, or background."""
    if not labels:
        return f"{FOREGROUND_CLASSES[BACKGROUND]}/"
    return f"{safe_name(labels[0])}/" if labeled else ""


def _settle(rows: list[tuple[_Row, Path]], file: Path) -> tuple[list[tuple[Path, list[str]]], list[Skipped]]:
    """Return each photo once, with the labels of all its rows in order of their names, and the rows that add none."""
    by_path: dict[Path, list[_Row]] = {}
    for row, path in rows:
        by_path.setdefault(path, []).append(row)
    usable, skipped = [], []
    for path, same in by_path.items():
        labels: set[str] = set()
        for number, row in enumerate(same):
            if bool(row.labels) != bool(same[0].labels):
                with_label, without = (row, same[0]) if row.labels else (same[0], row)
                raise DataError(
                    f"{file}: a photo without any of the classes must have no label, but {path} has none in "
                    f"{without.where} and '{with_label.label}' in {with_label.where}. Remove one of the two rows."
                )
            if number and row.labels <= labels:
                skipped.append(Skipped(Path(row.path), f"{row.where}: repeats {same[0].where}"))
            labels |= row.labels
        usable.append((path, sorted(labels)))
    return usable, skipped
