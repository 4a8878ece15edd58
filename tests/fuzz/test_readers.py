"""Every reader of a stranger's file either reads it or raises one of the project's errors, whatever is in the file.

``make fuzz`` runs as many inputs as ``FUZZ_EXAMPLES`` says; the tests run a few, always the same ones.
"""

import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings

from coarse2fine.errors import Coarse2FineError

from .edits import EDITS, apply_edits
from .limits import limit_memory, limit_time, list_files
from .readers import PHOTO_FILE, READERS, Reader, encode_photo

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
MAX_MEGABYTES = 256
MAX_SECONDS = 20
MAX_MESSAGE = 2000
PHOTO = encode_photo("PNG")


@pytest.fixture
def folder(tmp_path):
    """A folder for a reader, with a file beside it that must not change."""
    (tmp_path / "outside").write_bytes(b"unchanged")
    (tmp_path / "outside.png").write_bytes(b"unchanged")
    (tmp_path / "a").mkdir()
    return tmp_path / "a" / "inside"


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
def test_reader__damaged_files_are_one_sentence(reader: Reader, folder):
    root = folder.parent.parent
    outside = list_files(root, apart_from=folder)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize="FUZZ_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(EDITS)
    def check(edits):
        write_example(folder, apply_edits(reader.files, edits))
        with limit_time(MAX_SECONDS), limit_memory(MAX_MEGABYTES):
            try:
                reader.read(folder)
            except Coarse2FineError as error:
                message = str(error)
                assert message and "\n" not in message and len(message) < MAX_MESSAGE, message[:MAX_MESSAGE]
        assert list_files(root, apart_from=folder) == outside

    check()
