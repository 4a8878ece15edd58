import pyarrow
import pytest
from pyarrow import parquet

from coarse2fine.data.archives import unpack_photos
from coarse2fine.data.manifest import read_manifest
from coarse2fine.data.parquet_pages import measure_pages
from coarse2fine.errors import DataError
from coarse2fine.runtime.console import Console

TABLE = pyarrow.table({"path": [f"{number}.png" for number in range(3000)], "label": ["cat", "dog"] * 1500})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"data_page_version": "2.0"},
        {"use_dictionary": False, "data_page_size": 1000},
        {"row_group_size": 100, "compression": "zstd"},
        {"write_page_checksum": True},
    ],
    ids=lambda options: " ".join(options) or "defaults",
)
def test_measure_pages__as_many_bytes_as_the_metadata_say(tmp_path, options):
    parquet.write_table(TABLE, tmp_path / "a.parquet", **options)
    metadata = parquet.read_metadata(tmp_path / "a.parquet")
    chunks = [metadata.row_group(number).column(0) for number in range(metadata.num_row_groups)]
    total, largest = measure_pages(tmp_path / "a.parquet", ["path"])
    headers = sum(chunk.total_uncompressed_size for chunk in chunks) - total
    pages = 2 * len(chunks) + (120 if "data_page_size" in options else 0)
    assert 0 < headers <= 100 * pages
    assert total >= largest > 0
    assert measure_pages(tmp_path / "a.parquet", ["pat"]) == (0, 0)


def claim(path, column, claimed):
    """Change the size that the first page of a column claims to have when it is decompressed."""
    chunk = parquet.read_metadata(path).row_group(0).column(column)
    start = min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset)
    content = bytearray(path.read_bytes())
    at = start + 3  # after the type of the page and the head of this field
    end = at + next(index for index in range(10) if content[at + index] < 128) + 1
    number, encoded = claimed << 1, b""
    while number > 127:
        encoded, number = encoded + bytes([number & 127 | 128]), number >> 7
    encoded += bytes([number])
    assert len(encoded) == end - at, "the number must have as many bytes as before"
    content[at:end] = encoded
    path.write_bytes(content)


def test_read_manifest__a_page_that_claims_far_more_than_it_has(tmp_path):
    table = pyarrow.table({"path": ["a" * 200_000_000], "label": ["cat"]})
    parquet.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    claim(tmp_path / "a.parquet", 0, 2**31 - 1)
    with pytest.raises(
        DataError, match=r"at most 200 times their size in memory, but one of \d+ bytes claims 2147483647"
    ):
        read_manifest(tmp_path / "a.parquet")


def test_unpack_photos__a_page_that_claims_far_more_than_it_has(tmp_path):
    table = pyarrow.table({"image": [bytes(30_000_000)], "label": ["cat"]})
    parquet.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    with pytest.raises(DataError, match=r"at most 200 times their size in memory, but one of \d+ bytes claims 300000"):
        unpack_photos([tmp_path / "a.parquet"], tmp_path / "out", Console(quiet=True))


def test_read_manifest__damaged_pages_are_one_sentence(tmp_path):
    parquet.write_table(TABLE, tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[:4] + b"\xff" * 40 + content[44:])
    with pytest.raises(DataError, match=r"must be a readable Parquet table, but its pages are damaged \("):
        read_manifest(tmp_path / "a.parquet")
