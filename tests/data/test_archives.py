import io
import json
import tarfile
import zipfile

import datasets
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from coarse2fine.data import open_dataset
from coarse2fine.data.archives import find_archives, unpack_photos
from coarse2fine.errors import DataError
from coarse2fine.pipeline.checks import unpack_data
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.store.run import Run

PHOTOS = {"cat/1.jpg": 10, "cat/2.png": 90, "dog/1.jpg": 170}


def encode(value, kind="PNG"):
    encoded = io.BytesIO()
    Image.new("RGB", (6, 5), (value, 0, 0)).save(encoded, format=kind)
    return encoded.getvalue()


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def labels_of(path, tmp_path):
    data = open_dataset(unpack_data(path, Run(tmp_path / "run"), Context()))
    found = {}
    for photo in data.photos:
        with Image.open(photo.path) as image:
            found[image.getpixel((0, 0))[0]] = [data.classes[label] for label in photo.labels]
    return found


EXPECTED = {10: ["cat"], 90: ["cat"], 170: ["dog"]}


@pytest.mark.parametrize("top", ["", "pets/", "a/pets/"])
@pytest.mark.parametrize("write, ending", [(write_zip, "zip"), (write_tar, "tar")])
def test_unpack__class_folders(tmp_path, top, write, ending):
    members = {f"{top}{name}": encode(value) for name, value in PHOTOS.items()}
    others = {f"{top}cat/.hidden.png": b"", "__MACOSX/cat/1.jpg": b"", f"{top}read.me": b"text"}
    write(tmp_path / f"pets.{ending}", members | others)
    assert labels_of(tmp_path / f"pets.{ending}", tmp_path) == EXPECTED
    assert not list((tmp_path / "run").rglob("read.me"))


def test_unpack__webdataset_shards(tmp_path):
    (tmp_path / "shards").mkdir()
    first = {"000.png": encode(10), "000.cls": b"cat", "001.png": encode(90), "001.cls": b"cat\n", "001.json": b"{}"}
    write_tar(tmp_path / "shards" / "train-0.tar", first)
    write_tar(tmp_path / "shards" / "train-1.tar", {"./000.PNG": encode(170), "./000.cls": b"dog"})
    write_tar(tmp_path / "shards" / "val-0.tar", {"000.png": encode(250), "000.cls": b"bird"})
    assert labels_of(tmp_path / "shards", tmp_path) == EXPECTED


def test_unpack__parquet_as_datasets_writes_it(tmp_path):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [{"bytes": encode(value), "path": None} for value in (10, 90, 170)], "label": [0, 0, 1]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "train.parquet"))
    assert labels_of(tmp_path / "train.parquet", tmp_path) == EXPECTED


def test_unpack__parquet_with_texts_and_lists(tmp_path):
    columns = {"photo": [encode(10), encode(90), None], "labels": [["cat", "dog"], [], ["cat"]]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert labels_of(tmp_path / "a.parquet", tmp_path) == {10: ["cat", "dog"], 90: []}
    parquet.write_table(pyarrow.table({"photo": [encode(10)]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="must have a column label; its columns are: photo"):
        unpack_data(tmp_path / "a.parquet", Run(tmp_path / "other"), Context())


def test_unpack__a_table_of_paths_is_no_archive(tmp_path):
    parquet.write_table(pyarrow.table({"path": ["a.png"], "label": ["cat"]}), tmp_path / "a.parquet")
    assert find_archives(tmp_path / "a.parquet") == [] == find_archives(tmp_path / "gone")


def test_unpack__again_only_if_the_archive_changed(tmp_path, monkeypatch):
    write_zip(tmp_path / "a.zip", {"cat/1.png": encode(10), "cat/2.png": encode(20)})
    quiet, out = Console(quiet=True), tmp_path / "out"
    unpack_photos([tmp_path / "a.zip"], out, quiet)
    with monkeypatch.context() as patch:
        patch.setattr("coarse2fine.data.archives._unpack", None)
        unpack_photos([tmp_path / "a.zip"], out, quiet)
    (out / "unpacked.json").unlink()  # as if stopped before the end: complete files are not written again
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    unpack_photos([tmp_path / "a.zip"], out, quiet)
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} and len(times) == 2
    write_zip(tmp_path / "a.zip", {"dog/3.png": encode(30)})
    unpack_photos([tmp_path / "a.zip"], out, quiet)
    assert [path.name for path in out.rglob("*.png")] == ["3.png"]


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "cat/../../out.png"])
@pytest.mark.parametrize("write, ending", [(write_zip, "zip"), (write_tar, "tar")])
def test_unpack__names_stay_in_the_folder(tmp_path, name, write, ending):
    write(tmp_path / f"a.{ending}", {name: encode(10)})
    with pytest.raises(DataError, match="must be a relative path inside its folder"):
        unpack_data(tmp_path / f"a.{ending}", Run(tmp_path / "run"), Context())
    assert not list(tmp_path.rglob("out.png"))


def test_unpack__links_in_a_tar_are_ignored(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("cat/1.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(DataError, match="must hold photos .* but holds none"):
        unpack_data(tmp_path / "a.tar", Run(tmp_path / "run"), Context())


@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_unpack__a_damaged_archive_is_one_sentence(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_bytes(b"no archive" * 100)
    with pytest.raises(DataError, match=f"a.{ending} cannot be unpacked"):
        unpack_data(tmp_path / f"a.{ending}", Run(tmp_path / "run"), Context())
    write_zip(tmp_path / "b.zip", {"cat/1.png": encode(10)})
    content = bytearray((tmp_path / "b.zip").read_bytes())
    content[45] ^= 255
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(DataError, match="b.zip cannot be unpacked: cat/1.png"):
        unpack_data(tmp_path / "b.zip", Run(tmp_path / "run"), Context())


def test_unpack__limits(tmp_path, monkeypatch):
    write_zip(tmp_path / "a.zip", {"cat/1.png": encode(10)})
    monkeypatch.setattr("coarse2fine.data.archives.MAX_MEMBER_BYTES", 10)
    with pytest.raises(DataError, match="must hold files of at most 10 bytes, but cat/1.png has"):
        unpack_data(tmp_path / "a.zip", Run(tmp_path / "run"), Context())
    monkeypatch.undo()
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 5}))
    with pytest.raises(DataError, match="bytes for unpacked photos, but 5 are free"):
        unpack_data(tmp_path / "a.zip", Run(tmp_path / "run"), Context())


def test_unpack__the_same_name_in_two_shards_is_no_loss(tmp_path):
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", {"cat/1.png": encode(number)})
    with pytest.raises(DataError, match=r"cat/1\.png is in .*/0\.tar and in .*/1\.tar; rename or remove one"):
        unpack_data(tmp_path, Run(tmp_path / "run"), Context())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_unpack__the_same_name_twice_in_one_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for value in (10, 20):
            archive.writestr("cat/1.png", encode(value))
    with pytest.raises(DataError, match=r"cat/1\.png is twice in .*a\.zip; rename or remove one"):
        unpack_photos([tmp_path / "a.zip"], tmp_path / "out", Console(quiet=True))


@pytest.mark.parametrize("names", [("cat/1.png", "cat/1.png/2.png"), ("cat/1.png/b/2.png", "cat/1.png")])
@pytest.mark.parametrize("write, ending", [(write_zip, "zip"), (write_tar, "tar")])
def test_unpack__a_name_of_a_photo_and_of_a_folder(tmp_path, names, write, ending):
    write(tmp_path / f"a.{ending}", {name: encode(10) for name in names})
    with pytest.raises(
        DataError, match=r"cat/1\.png is a photo and also the folder of cat/1\.png/.*2\.png; rename one"
    ):
        unpack_photos([tmp_path / f"a.{ending}"], tmp_path / "out", Console(quiet=True))


def test_unpack__an_archive_whose_photos_are_far_larger(tmp_path, monkeypatch):
    monkeypatch.setattr("coarse2fine.data.archives.MAX_MEMBER_BYTES", 1_000_000)
    write_zip(tmp_path / "a.zip", {f"cat/{number}.bmp": bytes(900_000) for number in range(9)})
    with pytest.raises(DataError, match=r"at most 200 times the size of the archive, \d+ bytes, but they have 8100000"):
        unpack_photos([tmp_path / "a.zip"], tmp_path / "out", Console(quiet=True))
    assert not list((tmp_path / "out").rglob("*.bmp"))


def test_unpack__a_photo_in_every_row_is_written_once(tmp_path):
    rows = [encode(10)] * 1000 + [encode(20)]
    parquet.write_table(pyarrow.table({"image": rows, "label": ["cat"] * 999 + ["dog"] * 2}), tmp_path / "a.parquet")
    assert labels_of(tmp_path / "a.parquet", tmp_path) == {10: ["cat", "dog"], 20: ["dog"]}
    assert len(list((tmp_path / "run").rglob("*.jpg"))) == 2


def test_unpack__parquet_photos_that_are_far_larger_than_the_file(tmp_path, monkeypatch):
    """Each row differs, and the table stores only what differs from the row above."""
    monkeypatch.setattr("coarse2fine.data.archives.MAX_MEMBER_BYTES", 1_000_000)
    rows = pyarrow.array([bytes(500_000) + bytes([number]) for number in range(200)])
    options = {"use_dictionary": False, "column_encoding": {"image": "DELTA_BYTE_ARRAY"}}
    parquet.write_table(pyarrow.table({"image": rows, "label": ["cat"] * 200}), tmp_path / "a.parquet", **options)
    with pytest.raises(DataError, match=r"at most 200 times the size of the archive"):
        unpack_photos([tmp_path / "a.parquet"], tmp_path / "out", Console(quiet=True))
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.jpg")) < 10_000_000


def test_unpack__a_column_of_photos_that_is_encoded_by_a_dictionary(tmp_path):
    """As pandas writes a categorical column."""
    photos = pyarrow.array([encode(10), encode(170), encode(10)]).dictionary_encode()
    parquet.write_table(pyarrow.table({"image": photos, "label": ["cat", "dog", "cat"]}), tmp_path / "a.parquet")
    assert labels_of(tmp_path / "a.parquet", tmp_path) == {10: ["cat"], 170: ["dog"]}


def test_open_dataset__says_which_command_takes_archives(tmp_path):
    write_zip(tmp_path / "a.zip", {"cat/1.png": encode(10)})
    with pytest.raises(DataError, match="is an archive: coarse2fine fit unpacks it"):
        open_dataset(tmp_path / "a.zip")


def test_unpack_data__keeps_a_folder_with_other_files(tmp_path):
    write_zip(tmp_path / "a.zip", {"cat/1.png": encode(10)})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").touch()
    with pytest.raises(DataError, match="holds other files"):
        unpack_data(tmp_path / "a.zip", Run(tmp_path / "run"), Context())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def write_parquet(path, names=("cat",), **columns):
    metadata = json.dumps({"info": {"features": {"label": {"names": names}}}})
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata({"huggingface": metadata}), path)


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"image": [{"bytes": 10**13}], "label": [0]}, "must hold photos as bytes, but row 1 has another type"),
        ({"image": [{"bytes": "text"}], "label": [0]}, "must hold photos as bytes, but row 1 has another type"),
        ({"image": [b"photo"], "label": [0], "names": ["\ud800"]}, r"must be UTF-8 text, .* the label '\\ud800'"),
        ({"image": [b"photo"], "label": ["a" * 5000]}, "a label at most 4096 bytes"),
    ],
)
def test_unpack__parquet_columns_of_the_wrong_kind(tmp_path, columns, message):
    write_parquet(tmp_path / "a.parquet", **columns)
    with pytest.raises(DataError, match=message):
        unpack_photos([tmp_path / "a.parquet"], tmp_path / "out", Console(quiet=True))


def test_unpack__a_parquet_path_that_is_no_text_gives_no_ending(tmp_path):
    write_parquet(tmp_path / "a.parquet", image=[{"bytes": b"photo", "path": 5}], label=[0])
    unpack_photos([tmp_path / "a.parquet"], tmp_path / "out", Console(quiet=True))
    assert [path.name for path in (tmp_path / "out" / "a").iterdir()] == ["0000000.jpg"]


def test_unpack__parquet_rows_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    """A file of some kilobytes may hold a large photo in every row; a photo may have 1 GB."""
    sizes = []
    read = parquet.ParquetFile.iter_batches

    def iterate(*args, **options):
        for batch in read(*args, **options):
            sizes.append(len(batch))
            yield batch

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", iterate)
    write_parquet(tmp_path / "a.parquet", image=[b"photo"] * 3, label=[0] * 3)
    unpack_photos([tmp_path / "a.parquet"], tmp_path / "out", Console(quiet=True))
    assert sizes == [1, 1, 1]


def tar_header(kind, size):
    info = tarfile.TarInfo("cat/1.png")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(2048)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.REGTYPE])
@pytest.mark.parametrize("size", [2**60, 2**66])
def test_unpack__a_tar_header_that_claims_a_huge_size(tmp_path, kind, size):
    (tmp_path / "a.tar").write_bytes(tar_header(kind, size))
    with pytest.raises(DataError, match=r"cannot be unpacked \(.+\)|must hold files of at most"):
        unpack_photos([tmp_path / "a.tar"], tmp_path / "out", Console(quiet=True))


def test_unpack__a_sparse_tar_is_refused_before_it_is_read(tmp_path):
    header = bytearray(tar_header(tarfile.GNUTYPE_SPARSE, 0))
    header[483:495] = b"%011o\0" % (1 << 29)  # half a GB of zeros
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(header)
    with pytest.raises(DataError, match=r"without --sparse, but cat/1\.png is a sparse file"):
        unpack_photos([tmp_path / "a.tar"], tmp_path / "out", Console(quiet=True))


def test_unpack__a_shard_with_a_huge_label_or_a_name_that_is_not_utf8(tmp_path):
    for members in ({"0.png": b"photo", "0.cls": b"c" * 5000}, {"\udcff.png": b"photo", "\udcff.cls": b"cat"}):
        write_tar(tmp_path / "a.tar", members)
        with pytest.raises(DataError, match=r"files of at most 4096 bytes, but 0\.cls has 5000|must be UTF-8 text"):
            unpack_photos([tmp_path / "a.tar"], tmp_path / "out", Console(quiet=True))


def test_unpack__damaged_lzma_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("cat/1.png", encode(10) * 9)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[50:60] = bytes(byte ^ 255 for byte in content[50:60])
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be unpacked: cat/1\.png: Corrupt input data"):
        unpack_photos([tmp_path / "a.zip"], tmp_path / "out", Console(quiet=True))
