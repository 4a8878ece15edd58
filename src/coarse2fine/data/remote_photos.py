"""Photos from standard input and from web addresses."""

import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote, urlsplit

from coarse2fine.data.class_folders import hash_text
from coarse2fine.data.manifest import safe_name
from coarse2fine.data.photo_files import list_photos
from coarse2fine.errors import DataError
from coarse2fine.runtime.files import write_atomically

STANDARD_INPUT = "-"

MAX_BYTES = 256 << 20
"""Largest photo file that is received; a photo of 200 megapixels, the default limit, usually has less than 100 MB."""

TIMEOUT_S = 30.0

_SCHEMES = ("http", "https")
_CHUNK_BYTES = 1 << 20


def is_remote(photo: Path | str) -> bool:
    """Return whether a photo is ``-`` for standard input, or a web address."""
    text = str(photo)
    return text == STANDARD_INPUT or "://" in text


def fetch_photo(photo: str, folder: Path) -> Path:
    """Receive a photo from standard input or from a web address.

    Args:
        photo: ``-``, or an address that begins with ``http://`` or ``https://``; redirections lead only to such ones.
        folder: Folder for the file, which is called ``stdin`` or like the end of the address.

    Returns:
        The file.

    Raises:
        DataError: Nothing or more than `MAX_BYTES` was received, the address has another scheme, or it cannot be read.
    """
    if photo == STANDARD_INPUT:
        return _save(sys.stdin.buffer, folder / "stdin", "standard input")
    if urlsplit(photo).scheme.lower() not in _SCHEMES:
        raise DataError(f"An address of a photo must begin with http:// or https://, but one is {photo[:200]}.")
    last = PurePosixPath(unquote(urlsplit(photo).path)).name
    name = f"{PurePosixPath(safe_name(last or 'photo')).stem}-{hash_text(photo)}"
    try:
        with _OPENER.open(photo, timeout=TIMEOUT_S) as content:
            return _save(content, folder / name, photo[:200])
    except (urllib.error.URLError, HTTPException, ValueError, OSError) as error:
        raise DataError(f"{photo[:200]} cannot be read ({getattr(error, 'reason', None) or error}).") from error


def collect_photos(photos: Sequence[Path | str], out: Path, on_ignored: Callable[[str], None]) -> list[Path]:
    """List photo files, folders and glob patterns, and receive photos from elsewhere into ``out / "received"``.

    Args:
        photos: As for :func:`~coarse2fine.data.photo_files.list_photos`, web addresses, and ``-``.
        out: Folder for the results; its photos are not listed.
        on_ignored: Called with a sentence about files that are no photos by their endings.

    Raises:
        DataError: There are no photos, or one cannot be received.
    """
    local, remote = [one for one in photos if not is_remote(one)], [str(one) for one in photos if is_remote(one)]
    listed = list_photos(local, out, on_ignored) if local or not remote else []
    return [fetch_photo(one, out / "received") for one in dict.fromkeys(remote)] + listed


class _RefuseOtherSchemes(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https only; the handler of the library also follows those to ftp."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if urlsplit(newurl).scheme.lower() not in _SCHEMES:
            raise urllib.error.URLError("it redirects to an address that does not begin with http:// or https://")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_RefuseOtherSchemes)


def _save(content: IO[bytes], path: Path, what: str) -> Path:
    size = 0
    with write_atomically(path) as file:
        while chunk := content.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > MAX_BYTES:
                raise DataError(f"A photo must have at most {MAX_BYTES} bytes, but {what} has more.")
            file.write(chunk)
        if not size:
            raise DataError(f"A photo must have content, but {what} has none.")
    return path
