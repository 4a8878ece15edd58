"""Data sets as manifests: a CSV or Parquet table with a path and a label per row."""

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
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.runtime.extras import install_command
from coarse2fine.runtime.files import MAX_CSV_BYTES
from coarse2fine.types import BACKGROUND, FOREGROUND_CLASSES, LABEL_SEPARATOR, Dataset, Skipped

_MAX_NAME_BYTES = 120
_ROWS_PER_BATCH = 64
_BYTES_PER_CELL = 100
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
            ``path`` and ``label`` in any case and order; other columns are ignored. Paths are relative to the folder of
            ``file`` and stay inside it; backslashes, as on Windows, count as ``/``. A label is a class name, several
            names separated by ``|`` (in Parquet also a list), or empty for a photo without any of the classes. Several
            rows of one photo give it all their labels. Labels that look alike are one class
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
    wanted = ("path", "label") if labeled else ("path",)
    rows = _read_parquet(file, wanted) if file.suffix.lower() == ".parquet" else _read_csv(file, wanted)
    if not labeled:
        rows = _replace_labels(rows)
    folder, real_folder = str(file.parent.absolute()), os.path.realpath(file.parent)
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
    photos = [(file.parent / path, name, labels) for name, (path, labels) in zip(names, usable, strict=True)]
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


def _read_csv(file: Path, wanted: Sequence[str]) -> list[_Row]:
    try:
        with file.open("rb") as content:
            encoding = "utf-16" if content.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig"
        with file.open(encoding=encoding, newline="") as lines:
            header, delimiter, above = _find_header(lines)
            reader = csv.reader(chain([header], lines), delimiter=delimiter)
            return _collect_rows(reader, _find_columns(next(reader, []), wanted, file), above)
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


def _collect_rows(reader: Any, columns: Sequence[int], above: int) -> list[_Row]:
    rows = []
    line = above + reader.line_num + 1
    for cells in reader:
        if any(map(str.strip, cells)):
            rows.append(_Row(f"line {line}", *(cells[at].strip() if at < len(cells) else "" for at in columns)))
        line = above + reader.line_num + 1
    return rows


def _read_parquet(file: Path, wanted: Sequence[str]) -> list[_Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(f"Reading {file} needs pyarrow: {install_command('parquet')}") from error
    try:
        with parquet.ParquetFile(file) as table:
            columns = table.schema_arrow.names
            found = [columns[at] for at in _find_columns(columns, wanted, file)]
            cells = [_read_column(table, name, file) for name in found]
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise DataError(f"{file} must be a readable Parquet table: {error}.") from error
    texts = [[_text_of(cell, file) for cell in column] for column in cells]
    return [_Row(f"row {at}", *values) for at, values in enumerate(zip(*texts, strict=True), start=1)]


def _read_column(table: Any, name: str, file: Path) -> list[object]:
    """Return the cells of a column of a Parquet table, a few rows at a time: small files may hold huge columns."""
    cells: list[object] = []
    size = 0
    for batch in table.iter_batches(_ROWS_PER_BATCH, columns=[name]):
        size += batch.nbytes + _BYTES_PER_CELL * len(batch)
        rows = batch.column(0).to_pylist() if size <= MAX_CSV_BYTES else []
        size += sum(len(str(cell)) for cell in rows)  # a repeated text is stored once
        if size > MAX_CSV_BYTES:
            raise DataError(
                f"{file} must take at most {MAX_CSV_BYTES >> 20} MB of memory per column, but '{name}' takes more "
                f"up to row {len(cells) + len(batch)} of {table.metadata.num_rows}; split the table."
            )
        cells += rows
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


def _find_columns(header: Sequence[str], wanted: Sequence[str], file: Path) -> list[int]:
    names = [clean_label(name).casefold() for name in header]
    if all(names.count(one) == 1 for one in wanted):
        return [names.index(one) for one in ("path", "label") if names.count(one) == 1]
    found = ", ".join(header) or "none"
    needed = " and one column ".join(wanted)
    raise DataError(f"{file} must have one column {needed}; its columns are: {found}.")


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
