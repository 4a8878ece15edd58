"""Names of photos and classes in labeling tools, and the way back from such a name to the photo."""

import re
from collections import defaultdict
from collections.abc import Sequence

from coarse2fine.data.class_folders import hash_text
from coarse2fine.types import Photo

PHOTO_KEY = "photo"
"""Key of the photo's name in the data of a Label Studio task."""

MAX_SHOWN = 200
"""Number of characters of a name or message from a file that are shown, at most."""

_MAX_FOLDERS = 64
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


def shorten(text: str) -> str:
    """Return a text from a file so that it can be shown: at most `MAX_SHOWN` printable characters."""
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return _UNPRINTABLE.sub("_", shown)


class PhotoFinder:
    """Finds the photo that a labeling tool refers to by a name, or by the end of a path or address.

    Args:
        photos: The photos of the run.
    """

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._by_name: dict[str, Photo | None] = {}
        self._by_file: dict[str, list[tuple[Photo, str]]] = defaultdict(list)
        for photo in photos:
            name = sanitize_path(photo.name)
            file = name + photo.path.suffix
            for alias in (name, file):
                other = self._by_name.setdefault(alias, photo)
                if other is not photo:
                    self._by_name[alias] = None  # ambiguous
            for path in (file, sanitize_path(photo.path.absolute().as_posix())):
                self._by_file[path.rpartition("/")[2]].append((photo, path))

    def find(self, name: str) -> Photo | None:
        """Find the photo that a name in the tool means.

        It is a photo whose name in the run, with all its folders, is the end of the tool's name. A shorter end counts
        only if the tool's name has no other folders: ``0.jpg`` may mean ``cat/0.jpg``, but ``dog/0.jpg`` never does.

        Returns:
            The photo. None if no photo or more than one fits.
        """
        name = name.strip("/")
        parts = name.split("/")[-_MAX_FOLDERS:]
        for start in range(len(parts)):
            tail = "/".join(parts[start:])
            if tail in self._by_name:
                return self._by_name[tail]
        fitting = {
            id(photo): photo for photo, path in self._by_file.get(parts[-1], ()) if f"/{path}".endswith(f"/{name}")
        }
        return next(iter(fitting.values())) if len(fitting) == 1 else None
