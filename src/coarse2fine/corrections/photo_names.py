"""Names of photos and classes in labeling tools, and the way back from such a name to the photo."""

import re
from collections.abc import Sequence

from coarse2fine.data.class_folders import hash_text
from coarse2fine.types import Photo

PHOTO_KEY = "photo"
"""Key of the photo's name in the data of a Label Studio task."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def sanitize_name(text: str) -> str:
    """Replace control characters, which XML and text lists cannot store, by ``_``; then append a hash of the text."""
    return f"{_UNPRINTABLE.sub('_', text)}-{hash_text(text)}" if _UNPRINTABLE.search(text) else text


def sanitize_path(name: str) -> str:
    """Apply :func:`sanitize_name` to every part of a relative path."""
    return "/".join(map(sanitize_name, name.split("/")))


def ignore_label(classes: Sequence[str]) -> str:
    """Return a label name for pixels to ignore that differs from all class names."""
    return "ignore" if "ignore" not in classes else "ignore (255)"


class PhotoFinder:
    """Finds the photo that a labeling tool refers to by a name, or by the end of a path or address.

    Args:
        photos: The photos of the run.
    """

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._found: dict[str, Photo | None] = {}
        for photo in photos:
            file = sanitize_path(photo.name) + photo.path.suffix
            for alias in (file.rpartition("/")[2], photo.path.name):
                other = self._found.setdefault(alias, photo)
                if other is not photo:
                    self._found[alias] = None  # ambiguous
        for photo in photos:
            self._found[sanitize_path(photo.name) + photo.path.suffix] = photo
        for photo in photos:
            self._found[sanitize_path(photo.name)] = photo

    def find(self, name: str) -> Photo | None:
        """Return the photo with a name; None if no photo or more than one has it."""
        parts = name.strip("/").split("/")
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((self._found[tail] for tail in tails if tail in self._found), None)
