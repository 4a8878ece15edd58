"""Write JSON and CSV files item by item, so that memory use does not grow with the number of photos."""

import csv
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from coarse2fine.evaluation.quality_table import TABLE
from coarse2fine.export.mask_format import LoadedPhoto, MaskExport


@contextmanager
def open_score_table(export: MaskExport) -> Iterator[Callable[[LoadedPhoto], None]]:
    r"""Open ``quality.csv`` for a format that cannot store quality scores itself; no file if no mask has a score.

    Yields:
        A function that writes the row of a photo: its name, class and score. It writes nothing for a photo without a
        score. Lines end in ``\n``.
    """
    if not export.source.has_scores:
        yield lambda photo: None
        return
    with (export.folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["photo", "class", "score"])

        def add(photo: LoadedPhoto) -> None:
            if photo.score is not None:
                table.writerow([photo.name, photo.class_names or "", photo.score])

        yield add


@contextmanager
def open_json_lists(
    path: Path, values: Mapping[str, Any], names: tuple[str, ...]
) -> Iterator[Callable[[str, Any], None]]:
    """Open a JSON object of fixed values and of lists that grow at the same time.

    The first list is written to the file directly; the others wait in temporary files.

    Args:
        path: The JSON file.
        values: The fixed values.
        names: Keys of the lists, in the order of the file.

    Yields:
        A function that appends an item to the list of a name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        main = stack.enter_context(path.open("w", encoding="ascii", newline="\n"))
        files: dict[str, IO[str]] = {names[0]: main}
        for name in names[1:]:
            files[name] = stack.enter_context(
                tempfile.TemporaryFile("w+", encoding="ascii", newline="\n", dir=path.parent)
            )
        separators = dict.fromkeys(names, "\n")
        head = json.dumps(dict(values))
        main.write(f"{head[:-1]}{', ' if values else ''}{json.dumps(names[0])}: [")

        def append(name: str, item: Any) -> None:
            files[name].write(separators[name] + json.dumps(item))
            separators[name] = ",\n"

        yield append
        for name in names[1:]:
            main.write(f"\n], {json.dumps(name)}: [")
            files[name].seek(0)
            main.writelines(files[name])
        main.write("\n]}\n")


def write_task_files(folder: Path, tasks: Iterable[Any], tasks_per_file: int) -> None:
    """Write tasks to the JSON lists ``tasks-1.json``, ``tasks-2.json``, ...; no file if there is no task.

    Args:
        folder: The folder of the files.
        tasks: The tasks, in order.
        tasks_per_file: Number of tasks in each file but the last.
    """
    with ExitStack() as stack:
        for index, task in enumerate(tasks):
            if index % tasks_per_file == 0:
                stack.close()
                path = folder / f"tasks-{index // tasks_per_file + 1}.json"
                file = stack.enter_context(path.open("w", encoding="ascii", newline="\n"))
                stack.callback(file.write, "\n]\n")
            file.write(("[\n" if index % tasks_per_file == 0 else ",\n") + json.dumps(task))
