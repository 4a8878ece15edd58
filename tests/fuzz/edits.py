"""Small edits that damage a valid file: of its bytes, or of the values, attributes or chunks that its format has."""

import json
import random
import re
import struct
import tomllib
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

import onnx
import tomli_w
from google.protobuf.message import DecodeError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 255, 256, 40_000, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), float("-inf")),
    *("", " ", "0", "x" * 5000, "../outside", "../../outside", "/etc/passwd", "a\0b", "a\nb", "\ud800", "e\u0301"),
    *([], {}, [[]], [None], {"": None}, {"../../outside": "x"}, [0] * 5000),
)
"""Values that take the place of a value in JSON."""

ODD_BYTES = (
    *(b"", b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b",", b";", b'"', b"'", b"<", b">", b"&", b"/"),
    *(b"[", b"]", b"{", b"}", b"-", b"9" * 400, b"1e999", b"nan", b"inf", b"null", b"NaN", b"..", b"../../outside"),
    *(b"40000", b"4294967295", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"[" * 5000, b"<a>" * 500, b"a" * 5000),
    b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">]>',
)
"""Bytes that are inserted, or overwrite others."""


class Edit(NamedTuple):
    """One edit. Every number is taken modulo the number of places or values there are.

    Attributes:
        file: Which file of the example.
        by_structure: Whether to edit what `_STRUCTURES` has for the format of the file instead of bytes.
        kind: What to do.
        place: Where.
        value: What to insert, or how many bytes.
    """

    file: int
    by_structure: bool
    kind: int
    place: int
    value: int


def draw_edits(seed: str) -> list[Edit]:
    """Return one to four edits, always the same for the same seed.

    hypothesis would draw them, too, but its 3 ms per example are several times what most readers need.
    """
    draw = random.Random(seed)
    numbers = partial(draw.randrange, 2**16)
    return [Edit(numbers(), draw.random() < 0.5, numbers(), numbers(), numbers()) for _ in range(draw.randint(1, 4))]


def apply_edits(files: dict[str, bytes], edits: Sequence[Edit]) -> dict[str, bytes]:
    """Return the files after all edits, one after another."""
    edited = dict(files)
    for edit in edits:
        name = sorted(edited)[edit.file % len(edited)]
        by_structure = _STRUCTURES.get(name.rpartition(".")[2], _edit_bytes)
        edited[name] = (by_structure if edit.by_structure else _edit_bytes)(edited[name], edit)
    return edited


def _edit_bytes(content: bytes, edit: Edit) -> bytes:
    at = edit.place % (len(content) + 1)
    odd = ODD_BYTES[edit.value % len(ODD_BYTES)]
    length = 1 + edit.value % 16
    before, after = content[:at], content[at:]
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: before,
        lambda: before + after[length:],
        lambda: before + odd + after,
        lambda: before + odd + after[len(odd) :],
        lambda: before + after[:length] * 3 + after[length:],
        lambda: before + bytes(byte ^ 1 << edit.value % 8 for byte in after[:1]) + after[1:],
        lambda: after + before,
    )
    return kinds[edit.kind % len(kinds)]()


def _edit_json(content: bytes, edit: Edit) -> bytes:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):  # an earlier edit damaged it
        return _edit_bytes(content, edit)
    return json.dumps(_edit_value(value, edit)).encode()


def _edit_value(value: Any, edit: Edit) -> Any:
    """Remove, rename, repeat or replace one value in a value of JSON or TOML."""
    places = list(_walk(value))
    odd = ODD_VALUES[edit.value % len(ODD_VALUES)]
    if not places:
        return odd
    holder, key = places[edit.place % len(places)]
    kind = edit.kind % 4
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[str(odd)[:5000]] = holder.pop(key)
    elif kind == 2 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = odd
    return value


def _walk(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in a JSON value: its list or object, and the index or key."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [place for key, inner in items for place in ((value, key), *_walk(inner))]


def _edit_toml(content: bytes, edit: Edit) -> bytes:
    try:
        return tomli_w.dumps(_edit_value(tomllib.loads(content.decode()), edit)).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, AttributeError, RecursionError):  # damaged by an earlier edit, or no TOML
        return _edit_bytes(content, edit)


def _edit_safetensors(content: bytes, edit: Edit) -> bytes:
    """Edit a value of the JSON in the header, or of the JSON in its metadata, and correct the length of the header."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = _edit_json(content[8:end], edit)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _edit_onnx(content: bytes, edit: Edit) -> bytes:
    """Edit a value of the JSON in an entry of the metadata."""
    try:
        model = onnx.load_model_from_string(content)
        entry = model.metadata_props[edit.kind // 7 % len(model.metadata_props)]
        entry.value = _edit_json(entry.value.encode(), edit).decode("utf-8", "replace")
        return bytes(model.SerializeToString())
    except (DecodeError, ZeroDivisionError, AttributeError):  # an earlier edit damaged it, or its text
        return _edit_bytes(content, edit)


def _edit_xml(content: bytes, edit: Edit) -> bytes:
    """Replace the value of an attribute."""
    places = list(re.finditer(rb'"[^"]*"', content))
    if not places:
        return _edit_bytes(content, edit)
    start, end = places[edit.place % len(places)].span()
    odd = str(ODD_VALUES[edit.value % len(ODD_VALUES)]).encode("utf-8", "replace")
    return content[:start] + quoteattr(odd.decode()).encode() + content[end:]


def _edit_png(content: bytes, edit: Edit) -> bytes:
    """Edit the bytes in one chunk and correct its checksum, so that the edit is not noticed by that."""
    chunks, at = [], len(PNG_SIGNATURE)
    while content.startswith(PNG_SIGNATURE) and at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return _edit_bytes(content, edit)
    which = edit.kind // 7 % len(chunks)
    chunks[which] = chunks[which][0], _edit_bytes(chunks[which][1], edit)
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _edit_tar(content: bytes, edit: Edit) -> bytes:
    """Edit the bytes of one header and correct its checksum."""
    headers = [at for at in range(0, len(content), 512) if content[at + 257 : at + 262] == b"ustar"]
    if not headers:
        return _edit_bytes(content, edit)
    start = headers[edit.kind // 7 % len(headers)]
    header = _edit_bytes(content[start : start + 512], edit)[:512].ljust(512, b"\0")
    total = sum(header[:148]) + sum(header[156:]) + 8 * ord(" ")
    return content[:start] + header[:148] + b"%06o\0 " % total + header[156:] + content[start + 512 :]


_STRUCTURES = {
    "json": _edit_json,
    "onnx": _edit_onnx,
    "png": _edit_png,
    "safetensors": _edit_safetensors,
    "tar": _edit_tar,
    "toml": _edit_toml,
    "xml": _edit_xml,
}
"""Edits of more than bytes, by the ending of a file's name."""
