"""Every reader of a stranger's file either reads it or raises one of the project's errors, whatever is in the file.

``make fuzz`` runs as many inputs as ``FUZZ_EXAMPLES`` says, other ones for each ``FUZZ_SEED``; the tests run a few,
always the same ones.
"""

import os
import shutil
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from coarse2fine.errors import Coarse2FineError

from .edits import apply_edits, draw_edits
from .limits import current_memory, limit_memory, limit_time, list_files
from .readers import PHOTO_FILE, READERS, Reader, encode_photo

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
SEED = os.environ.get("FUZZ_SEED", "0")
MAX_MEGABYTES = 256
MAX_GROWTH_MEGABYTES = 64
MAX_SECONDS = 20
MAX_MESSAGE = 2000
PHOTO = encode_photo("PNG")
MEMORY_FILES = Path("/dev/shm")  # writing to a disk takes longer than most readers do


@pytest.fixture
def folder():
    """A folder for a reader, with a file beside it that must not change."""
    with TemporaryDirectory(dir=MEMORY_FILES if MEMORY_FILES.is_dir() else None) as root:
        Path(root, "outside").write_bytes(b"unchanged")
        Path(root, "outside.png").write_bytes(b"unchanged")
        Path(root, "a").mkdir()
        yield Path(root, "a", "inside")


def write_example(folder, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in {PHOTO_FILE: PHOTO, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_reader__reads_the_valid_example(reader: Reader, folder):
    """A reader that refuses its own example refuses all damaged ones, too: the test below would show nothing."""
    write_example(folder, reader.files)
    reader.read(folder)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_reader__damaged_files_are_one_sentence(reader: Reader, folder, capsys):
    root = folder.parent.parent
    outside = list_files(root, apart_from=folder)
    began, memory = time.process_time(), 0
    for number in range(EXAMPLES):
        edits = draw_edits(f"{SEED} {number}")
        try:
            check(reader, folder, apply_edits(reader.files, edits))
            assert list_files(root, apart_from=folder) == outside
        except BaseException as error:
            error.add_note(f"{reader.name}, FUZZ_SEED {SEED}, example {number}: {edits}")
            raise
        if number == EXAMPLES // 10:  # modules are imported and caches are full
            memory = current_memory()
    grown = current_memory() - memory
    if "FUZZ_EXAMPLES" in os.environ:
        seconds = time.process_time() - began
        with capsys.disabled():
            print(  # noqa: T201
                f"{reader.name}: {EXAMPLES} inputs, {seconds:.0f} s of processor time, memory +{grown} MiB"
            )
    assert grown <= MAX_GROWTH_MEGABYTES, f"{EXAMPLES} inputs left {grown} MiB of memory behind"


def check(reader: Reader, folder: Path, files: dict[str, bytes]) -> None:
    write_example(folder, files)
    with limit_time(MAX_SECONDS), limit_memory(MAX_MEGABYTES), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pytest would keep all of them
        try:
            reader.read(folder)
        except Coarse2FineError as error:
            message = str(error)
            assert message and "\n" not in message and len(message) < MAX_MESSAGE, message[:MAX_MESSAGE]
