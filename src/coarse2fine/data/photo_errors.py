"""Explain in one clause why a photo file cannot be read."""

import errno
from pathlib import Path

import PIL

from coarse2fine.errors import DataError

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"II*\0", b"MM\0*", b"GIF8")


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
    if isinstance(error, PIL.UnidentifiedImageError):
        return _explain_unidentified(size, start)
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


def _explain_unidentified(size: int, start: bytes) -> str:
    if start.startswith(_SIGNATURES):
        return f"truncated after {size} bytes or damaged at its start"
    return "not an image (supported: JPEG, PNG, WebP, BMP, TIFF, GIF)"


def _is_short_webp(size: int, start: bytes) -> bool:
    return start[:4] == b"RIFF" and size < 8 + int.from_bytes(start[4:], "little")
