"""Explain in one clause why a photo file cannot be read."""

import errno
import io
import re
from pathlib import Path

import PIL.Image

from coarse2fine.errors import DataError
from coarse2fine.runtime.pixel_limit import MAX_TEXT_MB

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"RIFF": "WEBP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF8": "GIF",
}
_UNSUPPORTED = re.compile(
    "unsupported|not supported|not available|cannot handle|unknown pixel mode|samples per pixel", re.IGNORECASE
)
"""What Pillow says of whole files that it cannot decode, such as a JPEG of 12 bits or a TIFF of 5 channels."""


def explain_error(error: Exception, source: Path | bytes) -> str:
    """Explain an exception that was raised while a photo was read.

    Args:
        error: The exception; Pillow raises many kinds on damaged files.
        source: The file, or its content.

    Returns:
        One clause, such as ``truncated after 812 bytes``.
    """
    text = " ".join(str(error).split())
    if isinstance(error, DataError):
        return text
    if isinstance(error, OSError) and error.errno and isinstance(source, Path):
        return _explain_system_error(error, source)
    size, start = _read_start(source)
    is_unidentified = isinstance(error, PIL.UnidentifiedImageError)
    if is_unidentified:
        text = _find_cause(source, start)
    if _UNSUPPORTED.search(text):
        return f"a kind of image that is not supported ({text}); save it as gray or RGB with 8 bits per channel"
    return _explain_unidentified(size, start) if is_unidentified else _explain_damage(error, text, size, start)


def _explain_damage(error: Exception, text: str, size: int, start: bytes) -> str:
    if "MAX_TEXT_CHUNK" in text or "text chunks" in text:
        return f"a PNG with texts of more than {MAX_TEXT_MB} MB; save it without them"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, EOFError) or "truncated" in text.lower() or _is_short_webp(size, start):
        return f"truncated after {size} bytes"
    return f"truncated or damaged ({text or type(error).__name__})"


def _explain_system_error(error: OSError, path: Path) -> str:
    if error.errno == errno.ENOENT:
        return "a link to a file that does not exist" if path.is_symlink() else "no such file"
    if error.errno == errno.ELOOP:
        return "a link that leads back to itself"
    return f"not readable ({(error.strerror or str(error)).lower()})"


def _read_start(source: Path | bytes) -> tuple[int, bytes]:
    """Return the size in bytes and the first eight bytes."""
    if isinstance(source, bytes):
        return len(source), source[:8]
    with source.open("rb") as file:
        return source.stat().st_size, file.read(8)


def _find_cause(source: Path | bytes, start: bytes) -> str:
    """Return why Pillow cannot open a file of the format that its first bytes name; "" if it does not say."""
    kind = next((kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)), None)
    if kind is None:
        return ""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            PIL.Image.OPEN[kind][0](file, "")
    except Exception as error:  # on damaged files Pillow raises nearly any exception
        return str(error)
    return ""


def _explain_unidentified(size: int, start: bytes) -> str:
    if start.startswith(tuple(_SIGNATURES)):
        return f"truncated after {size} bytes or damaged at its start, or of a kind that is not supported"
    return "not an image (supported: JPEG, PNG, WebP, BMP, TIFF, GIF)"


def _is_short_webp(size: int, start: bytes) -> bool:
    return start[:4] == b"RIFF" and size < 8 + int.from_bytes(start[4:], "little")
