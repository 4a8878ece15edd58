"""Unpack photos from archives: zip, tar (class folders or WebDataset shards), and Parquet files with photos.

Sources: https://github.com/webdataset/webdataset (shards), https://huggingface.co/docs/datasets (image columns).
"""

import hashlib
import json
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from coarse2fine.data.class_folders import is_text
from coarse2fine.data.parquet_pages import measure_pages
from coarse2fine.data.photo_files import PHOTO_ENDINGS, is_hidden
from coarse2fine.data.splits import METADATA
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.extras import install_command
from coarse2fine.runtime.files import (
    read_json_or_empty,
    size_and_time,
    write_atomically,
    write_csv,
    write_json,
)
from coarse2fine.runtime.names import check_name
from coarse2fine.types import LABEL_SEPARATOR

MAX_MEMBER_BYTES = 1 << 30
"""Largest file that is unpacked; the largest photo that ``fit`` accepts by default has 200 megapixels."""

ARCHIVE_ENDINGS = (".zip", ".tar")

_TABLE = "labels.csv"
_DONE = "unpacked.json"
_MAX_LABEL_BYTES = 1 << 12
_MAX_COMPRESSION = 200
_DAMAGED = (
    *(OSError, ValueError, RuntimeError, EOFError, OverflowError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError),
)
"""What the libraries raise for a damaged or encrypted archive; MemoryError if a header claims a huge size."""


class _Packed(NamedTuple):
    """A file in an archive.

    Attributes:
        name: Relative path to unpack it to.
        read: Returns its content.
        label: Class names separated by `LABEL_SEPARATOR`; None if the path gives the class.
        archive: The archive.
    """

    name: str
    read: Callable[[], bytes]
    label: str | None = None
    archive: Path = Path()


def find_archives(path: Path) -> list[Path]:
    """Return the archives that a path is or holds; an empty list if it is a data set of another kind.

    Of shards whose names begin with the part, such as ``train-00000.parquet``, only those of ``train`` are returned.
    """
    if path.is_dir():
        files = sorted(chain(path.glob("*.tar"), path.glob("*.parquet"), path.glob("data/*.parquet")))
        train = [file for file in files if file.name.startswith("train")]
    else:
        files = train = [path] if path.is_file() else []
    return [file for file in train or files if file.suffix.lower() in ARCHIVE_ENDINGS or _has_photos(file)]


def unpack_photos(archives: Sequence[Path], folder: Path, console: Console) -> Path:
    """Unpack the photos of archives once; an interrupted call is resumed.

    Args:
        archives: Files from :func:`find_archives`.
        folder: Folder for the photos. If other archives were unpacked there before, it is emptied.
        console: Shows the progress.

    Returns:
        The unpacked data set: a table ``labels.csv``, or a folder with class folders.

    Raises:
        DataError: An archive is damaged, holds no photos or a path that leads outside, or the disk is too small.
        ConfigError: An archive is Parquet, and pyarrow is not installed.
    """
    stamps = {str(file.absolute()): size_and_time(file) for file in archives}
    if read_json_or_empty(folder / _DONE) != stamps:
        if (folder / _DONE).exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(archives, folder, console)
        write_json(folder / _DONE, stamps)
    return folder / _TABLE if (folder / _TABLE).exists() else _skip_single_folders(folder)


def _unpack(archives: Sequence[Path], folder: Path, console: Console) -> None:
    opened = [_open_archive(file) for file in archives]
    count, size = sum(one[0] for one in opened), sum(one[1] for one in opened)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(f"{folder} needs {size} bytes for unpacked photos, but {free} are free. Choose another --out.")
    _check_total(size, archives)
    rows, members, first, written = [], _Members(), dict[bytes, str](), 0
    for packed in console.track(chain.from_iterable(one[2] for one in opened), count, "unpacking"):
        path = folder / check_name(packed.name)
        members.add(packed.name, packed.archive)
        content = packed.read()
        name = packed.name
        if packed.label is not None:  # a small table may hold one photo a million times
            name = first.setdefault(hashlib.sha256(content).digest(), name)
            rows.append((name, _check_label(packed)))
        if name == packed.name:
            written += len(content)
            _check_total(written, archives)
            if not path.is_file() or path.stat().st_size != len(content):
                with write_atomically(path) as file:
                    file.write(content)
    if not count:
        raise DataError(f"{archives[0]} must hold photos ({' '.join(PHOTO_ENDINGS)}), but holds none.")
    if rows:
        write_csv(folder / _TABLE, ["path", "label"], rows)


def _check_total(size: int, archives: Sequence[Path]) -> None:
    packed = sum(file.stat().st_size for file in archives)
    if size > MAX_MEMBER_BYTES + _MAX_COMPRESSION * packed:
        raise DataError(
            f"{archives[0]} must hold photos of at most {_MAX_COMPRESSION} times the size of the archive, {packed} "
            f"bytes, but they have {size} or more. If they are right, unpack the archive yourself and give the folder."
        )


class _Members:
    """The names that were unpacked, and the archive of each."""

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}
        self._folders: dict[str, str] = {}

    def add(self, name: str, archive: Path) -> None:
        """Add a name.

        Raises:
            DataError: There is a photo of the same name, or one is in a folder that has the name of the other.
        """
        if other := self._files.get(name):
            where = f"twice in {archive}" if other == archive else f"in {other} and in {archive}"
            raise DataError(f"Archives must hold each photo once, but {name[:200]} is {where}; rename or remove one.")
        above = [str(folder) for folder in PurePosixPath(name).parents][:-1]
        conflicts = [(folder, name) for folder in above if folder in self._files]
        if name in self._folders:
            conflicts.append((name, self._folders[name]))
        for photo, inner in conflicts:
            raise DataError(
                f"{archive} must use a name for a photo or for a folder, but {photo[:200]} is a photo and also the "
                f"folder of {inner[:200]}; rename one and pack the photos again."
            )
        self._files[name] = archive
        self._folders |= dict.fromkeys(above, name)


def _open_archive(file: Path) -> tuple[int, int, Iterator[_Packed]]:
    """Return the number of photos in an archive, the bytes that they need, and the photos."""
    kinds = {".zip": _open_zip, ".tar": _open_tar, ".parquet": _open_parquet}
    try:
        count, size, photos = kinds[file.suffix.lower()](file)
    except _DAMAGED as error:
        raise DataError(f"{file} cannot be unpacked ({_say(error)}); download or pack it again.") from error
    return count, size, _explain(photos, file)


def _explain(photos: Iterator[_Packed], file: Path) -> Iterator[_Packed]:
    try:
        for one in photos:
            yield one._replace(read=partial(_read, one, file), archive=file)
    except _DAMAGED as error:
        raise DataError(f"{file} cannot be unpacked ({_say(error)}); download or pack it again.") from error


def _read(packed: _Packed, file: Path) -> bytes:
    try:
        return packed.read()
    except _DAMAGED as error:
        raise DataError(f"{file} cannot be unpacked: {packed.name[:200]}: {_say(error)}.") from error


def _say(error: Exception) -> str:
    return "it needs more memory than there is" if isinstance(error, MemoryError) else str(error)


def _check_size(name: str, size: int, file: Path) -> None:
    most = _MAX_LABEL_BYTES if name.endswith(".cls") else MAX_MEMBER_BYTES
    if size > most:
        raise DataError(f"{file} must hold files of at most {most} bytes, but {name[:200]} has {size}.")


def _check_label(packed: _Packed) -> str:
    """Return the label if the table of labels, which is UTF-8, can hold it and the name."""
    label = packed.label or ""
    if not is_text(packed.name + label) or len(label.encode()) > _MAX_LABEL_BYTES:
        raise DataError(
            f"Names and labels of packed photos must be UTF-8 text, and a label at most {_MAX_LABEL_BYTES} bytes, but "
            f"{packed.name[:200]} with the label '{label[:60]}' is not so; rename it and pack the photos again."
        )
    return label


def _is_wanted(name: str) -> bool:
    path = Path(name)
    is_file = path.suffix.lower() in PHOTO_ENDINGS or path.name in METADATA
    return is_file and not _lies_hidden(name)


def _lies_hidden(name: str) -> bool:
    return any(is_hidden(part) for part in Path(name).parts if part != "..")  # check_name refuses ".."


def _open_zip(file: Path) -> tuple[int, int, Iterator[_Packed]]:
    with zipfile.ZipFile(file) as archive:
        members = [one for one in archive.infolist() if not one.is_dir() and _is_wanted(one.filename)]
    for one in members:
        _check_size(one.filename, one.file_size, file)

    def read_all() -> Iterator[_Packed]:
        with zipfile.ZipFile(file) as archive:
            for one in members:
                yield _Packed(one.filename, partial(archive.read, one))

    return len(members), sum(one.file_size for one in members), read_all()


def _open_tar(file: Path) -> tuple[int, int, Iterator[_Packed]]:
    with tarfile.open(file, "r:") as archive:
        members = [one for one in archive.getmembers() if one.isreg() and not _lies_hidden(one.name)]
    has_labels = any(one.name.endswith(".cls") for one in members)
    photos = [one for one in members if _is_wanted(one.name)]
    for one in members:
        _check_size(one.name, one.size, file)
        if one.issparse():
            raise DataError(f"{file} must be packed without --sparse, but {one.name[:200]} is a sparse file.")

    def read_all() -> Iterator[_Packed]:
        with tarfile.open(file, "r:") as archive:
            for one in photos:
                yield _Packed(one.name.removeprefix("./"), partial(_extract, archive, one))

    def read_samples() -> Iterator[_Packed]:
        with tarfile.open(file, "r:") as archive:
            for key, group in groupby(members, key=lambda one: _split_key(one.name)[0]):
                parts = {_split_key(one.name)[1].lower(): one for one in group}
                photo = next((parts[ending] for ending in PHOTO_ENDINGS if ending in parts), None)
                if photo is not None:
                    label = _extract(archive, parts[".cls"]).decode("utf-8").strip() if ".cls" in parts else ""
                    name = f"{file.stem}/{key.removeprefix('./')}{Path(photo.name).suffix}"
                    yield _Packed(name, partial(_extract, archive, photo), label)

    return len(photos), sum(one.size for one in photos), read_samples() if has_labels else read_all()


def _split_key(name: str) -> tuple[str, str]:
    """Split a path at the first dot of its last part, as WebDataset does."""
    folder, slash, last = name.rpartition("/")
    stem, dot, ending = last.partition(".")
    return f"{folder}{slash}{stem}", f"{dot}{ending}"


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(member)
    assert content is not None  # a regular file
    return content.read()


def _has_photos(file: Path) -> bool:
    if file.suffix.lower() != ".parquet":
        return False
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ConfigError(f"Reading {file} needs pyarrow: {install_command('parquet')}") from error
    try:
        return _find_image(parquet.read_schema(file)) is not None
    except (OSError, ValueError, ArrowException):
        return False  # the reader of tables says what is wrong


def _find_image(schema: Any) -> str | None:
    """Return the first column of photos: bytes, or the struct of bytes and path that ``datasets`` writes."""
    from pyarrow import types

    for field in schema:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        inner = [one.name for one in kind] if types.is_struct(kind) else []
        if "bytes" in inner or any(is_kind(kind) for is_kind in (types.is_binary, types.is_large_binary)):
            return str(field.name)
    return None


def _open_parquet(file: Path) -> tuple[int, int, Iterator[_Packed]]:
    from pyarrow import ArrowException, parquet

    schema = parquet.read_schema(file)
    image, label = _find_image(schema), next((name for name in ("label", "labels") if name in schema.names), None)
    if label is None or image is None:
        raise DataError(f"{file} must have a column label; its columns are: {', '.join(schema.names)}.")
    names = _find_class_names(schema, label)

    def read_rows() -> Iterator[_Packed]:
        number = -1
        try:
            with parquet.ParquetFile(file) as table:
                batches = table.iter_batches(1, columns=[image, label])  # the same large photo may be in every row
                for number, row in enumerate(chain.from_iterable(batch.to_pylist() for batch in batches)):
                    photo = row[image] if isinstance(row[image], dict) else {"bytes": row[image]}
                    content = photo.get("bytes")
                    if content and not isinstance(content, bytes):
                        raise DataError(f"{file} must hold photos as bytes, but row {number + 1} has another type.")
                    if content:
                        ending = Path(str(photo.get("path"))).suffix.lower()
                        ending = ending if ending in PHOTO_ENDINGS else ".jpg"
                        name = f"{file.stem}/{number:07d}{ending}"
                        _check_size(name, len(content), file)
                        yield _Packed(name, partial(bytes, content), _join(row[label], names))
                if number + 1 != table.metadata.num_rows:
                    raise ValueError(f"{number + 1} rows instead of {table.metadata.num_rows}")
        except ArrowException as error:
            raise DataError(f"{file} must be a readable Parquet table: {error}.") from error

    with parquet.ParquetFile(file) as table:
        rows = table.metadata.num_rows
    return rows, measure_pages(file, [image, label])[0], read_rows()


def _find_class_names(schema: Any, label: str) -> Sequence[str] | None:
    """Return the names of a column of ``datasets.ClassLabel``, which the metadata of the schema holds."""
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]
        names = info.get("names") or info.get("feature", {}).get("names")
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def _join(value: Any, names: Sequence[str] | None) -> str:
    parts = value if isinstance(value, list) else [] if value is None else [value]
    return LABEL_SEPARATOR.join(
        names[one] if names and isinstance(one, int) and 0 <= one < len(names) else str(one) for one in parts
    )


def _skip_single_folders(folder: Path) -> Path:
    """Return the folder below which the class folders lie: archives often hold one folder with the rest in it."""
    while True:
        inner = [path for path in folder.iterdir() if path.name != _DONE]
        if len(inner) != 1 or not inner[0].is_dir() or not any(path.is_dir() for path in inner[0].iterdir()):
            return folder
        folder = inner[0]
