"""Names under which photos and classes travel to labeling tools, and by which they find home."""

import re
from collections.abc import Sequence

from coarse2fine.data.folder import hash_text
from coarse2fine.types import Photo

PHOTO_KEY = "photo"
"""Where a task of Label Studio keeps the photo's name."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def plain_text(text: str) -> str:
    """Text as every format can hold it: control characters replaced, and told apart by a hash."""
    return f"{_UNPRINTABLE.sub('_', text)}-{hash_text(text)}" if _UNPRINTABLE.search(text) else text


def plain_path(name: str) -> str:
    """A relative path of :func:`plain_text`."""
    return "/".join(map(plain_text, name.split("/")))


def name_ignored(classes: Sequence[str]) -> str:
    """A label for ignored pixels that is no class's name."""
    return "ignore" if "ignore" not in classes else "ignore (255)"


class PhotoFinder:
    """Finds photos by what tools call them: a name, or the end of a path or of an address.

    Args:
        photos: Of the run.
    """

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._found: dict[str, Photo | None] = {}
        for photo in photos:
            file = plain_path(photo.name) + photo.path.suffix
            for alias in (file.rpartition("/")[2], photo.path.name):
                other = self._found.setdefault(alias, photo)
                if other is not photo:
                    self._found[alias] = None  # it could be either
        for photo in photos:
            self._found[plain_path(photo.name) + photo.path.suffix] = photo
        for photo in photos:
            self._found[plain_path(photo.name)] = photo

    def find(self, given: str) -> Photo | None:
        """The one photo that ``given`` names; None where there is none, or where it could be several."""
        parts = given.strip("/").split("/")
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((self._found[tail] for tail in tails if tail in self._found), None)
