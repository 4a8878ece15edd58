"""Files that are written bit by bit, whatever the number of photos: tables of scores, lists in JSON."""

import csv
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from coarse2fine.export.mask_export import Job, Opened


class QualityTable:
    """``quality.csv``, for formats that have no place for a score; there is none where no mask has one."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        if self.job.has_quality:
            self._file = (self.job.folder / "quality.csv").open("w", encoding="utf-8", newline="")
            self._rows = csv.writer(self._file, lineterminator="\n")
            self._rows.writerow(["photo", "class", "score"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def add(self, photo: Opened) -> None:
        """One row; nothing for a photo without a score."""
        if self._file and photo.score is not None:
            label = photo.sample.label
            self._rows.writerow([photo.name, "" if label is None else self.job.classes[label], photo.score])


class JsonLists:
    """A JSON object of fixed values and of lists that grow together: all lists but the first wait in a file.

    Args:
        path: The file.
        values: What it holds beside the lists.
        names: Of the lists.
    """

    def __init__(self, path: Path, values: Mapping[str, Any], names: tuple[str, ...]) -> None:
        self.path, self.values, self.names = path, values, names

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, IO[str]] = {self.names[0]: self.path.open("w", encoding="ascii", newline="\n")}
        for name in self.names[1:]:
            self._files[name] = tempfile.TemporaryFile("w+", encoding="ascii", newline="\n", dir=self.path.parent)
        self._empty = dict.fromkeys(self.names, True)
        head = json.dumps(dict(self.values))
        self._files[self.names[0]].write(f"{head[:-1]}{', ' if self.values else ''}{json.dumps(self.names[0])}: [")
        return self

    def add(self, name: str, item: Any) -> None:
        """Append to a list."""
        self._files[name].write(("\n" if self._empty[name] else ",\n") + json.dumps(item))
        self._empty[name] = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        main, *waiting = (self._files[name] for name in self.names)
        try:
            if kind is None:
                for name, file in zip(self.names[1:], waiting, strict=True):
                    main.write(f"\n], {json.dumps(name)}: [")
                    file.seek(0)
                    for line in file:
                        main.write(line)
                main.write("\n]}\n")
        finally:
            for file in self._files.values():
                file.close()


class JsonFiles:
    """Lists in JSON of so many items each: ``<stem>-1.json``, ``<stem>-2.json``, ...

    Args:
        folder: Where they go.
        stem: How they are called.
        most: Items in one file.
    """

    def __init__(self, folder: Path, stem: str, most: int) -> None:
        self.folder, self.stem, self.most = folder, stem, most
        self._file: IO[str] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def add(self, item: Any) -> None:
        """Append."""
        if self._count % self.most == 0:
            self._end()
            path = self.folder / f"{self.stem}-{self._count // self.most + 1}.json"
            self._file = path.open("w", encoding="ascii", newline="\n")
        assert self._file
        self._file.write(("[\n" if self._count % self.most == 0 else ",\n") + json.dumps(item))
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._file:
            self._file.write("\n]\n")
            self._file.close()
