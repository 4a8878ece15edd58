"""Check, before a Parquet file is decoded, how much memory its pages claim; a few bytes can claim two gigabytes.

pyarrow allocates what the header of a page claims. It does not show these headers, and ends the process when it shows
damaged metadata of a column. So both are read here; they are structs of Thrift's compact protocol.

Sources: https://parquet.apache.org/docs/file-format/metadata/,
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from coarse2fine.errors import DataError

MAX_PAGE_BYTES = 16 << 20
MAX_COMPRESSION = 200
"""A page may claim `MAX_PAGE_BYTES`, and this many bytes for each byte that it has in the file."""

_TRUE, _FALSE, _BYTE, _INT16, _INT32, _INT64, _DOUBLE, _BINARY, _LIST, _SET, _, _STRUCT = range(1, 13)
_MAX_DEPTH = 16
_FOOTER_BYTES = 8  # length of the metadata, and PAR1
# Numbers of fields: in the metadata of a file, a row group, a column and its inner struct; in the header of a page.
_ROW_GROUPS, _COLUMNS, _COLUMN, _PATH, _LENGTH, _PAGES, _DICTIONARY = 4, 1, 3, 3, 7, 9, 11
_CLAIMED, _STORED = 2, 3


def measure_pages(file: Path, columns: Sequence[str]) -> tuple[int, int]:
    """Return how many bytes all pages of some columns, and the largest of them, claim to have when decompressed.

    Args:
        file: A Parquet file that pyarrow can open.
        columns: Names of top-level columns.

    Raises:
        DataError: A page claims more memory than its size in the file can need, or the file is damaged.
    """
    total = largest = 0
    wanted = [column.encode("utf-8", "surrogateescape") for column in columns]
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            for claimed, stored in _read_sizes(content, wanted):
                if claimed > MAX_PAGE_BYTES + MAX_COMPRESSION * stored:
                    raise DataError(
                        f"{file} must hold pages that need at most {MAX_COMPRESSION} times their size in memory, but "
                        f"one of {stored} bytes claims {claimed}; write the table again, or without compression."
                    )
                total, largest = total + claimed, max(largest, claimed)
        except (LookupError, TypeError, ValueError) as error:
            raise DataError(f"{file} must be a readable Parquet table, but its pages are damaged ({error}).") from error
    return total, largest


def _read_sizes(content: Any, wanted: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the size of each page of the wanted columns when it is decompressed, and in the file."""
    footer = len(content) - _FOOTER_BYTES
    metadata, _ = _read_struct(content, footer - int.from_bytes(content[footer : footer + 4], "little"), _MAX_DEPTH)
    for group in metadata[_ROW_GROUPS]:
        for chunk in group[_COLUMNS]:
            column = chunk[_COLUMN]
            if column[_PATH][0] in wanted:
                position = min(column[_PAGES], column.get(_DICTIONARY) or column[_PAGES])
                end = position + column[_LENGTH]
                while 0 <= position < end:
                    header, position = _read_struct(content, position, _MAX_DEPTH)
                    if min(header[_CLAIMED], header[_STORED]) < 0:
                        raise ValueError("a negative size")
                    yield header[_CLAIMED], header[_STORED]
                    position += header[_STORED]


def _read_struct(content: Any, position: int, depth: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a struct by their numbers, and the position after it."""
    fields: dict[int, Any] = {}
    number = 0
    while (head := content[position]) != 0:
        position += 1
        if head >> 4:
            number += head >> 4
        else:
            number, position = _read_signed(content, position)
        if head & 15 in (_TRUE, _FALSE):  # the head is the value
            fields[number] = head & 15 == _TRUE
        else:
            fields[number], position = _read_value(content, position, head & 15, depth)
    return fields, position + 1


def _read_value(content: Any, position: int, kind: int, depth: int) -> tuple[Any, int]:
    """Return a value and the position after it."""
    if not depth:
        raise ValueError("too deeply nested")
    if kind in (_INT16, _INT32, _INT64):
        return _read_signed(content, position)
    if kind in (_TRUE, _FALSE, _BYTE):
        return content[position], position + 1
    if kind == _DOUBLE:
        return None, position + 8
    if kind == _BINARY:
        length, position = _read_unsigned(content, position)
        return content[position : position + length], position + length
    if kind == _STRUCT:
        return _read_struct(content, position, depth - 1)
    if kind not in (_LIST, _SET):  # Parquet has no maps
        raise ValueError(f"a value of type {kind}")
    head, position = content[position], position + 1
    count, position = _read_unsigned(content, position) if head >> 4 == 15 else (head >> 4, position)
    values = []
    for _ in range(count):
        value, position = _read_value(content, position, head & 15, depth - 1)
        values.append(value)
    return values, position


def _read_signed(content: Any, position: int) -> tuple[int, int]:
    value, position = _read_unsigned(content, position)
    return value >> 1 ^ -(value & 1), position


def _read_unsigned(content: Any, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
