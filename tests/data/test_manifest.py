import io
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coarse2fine.data.manifest import read_manifest, safe_name
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.types import Photo


def write(folder: Path, text: str, photos: str = "") -> Path:
    for name in photos.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    file = folder / "labels.csv"
    file.write_text(text, encoding="utf-8")
    return file


def reasons_of(file: Path) -> list[tuple[str, str]]:
    return [(one.path.as_posix(), one.reason) for one in read_manifest(file).skipped]


def test_read_manifest__classes_are_the_labels(tmp_path):
    file = write(tmp_path, "path,label\nx/1.jpg,dog\n2.png, big cat \n", "x/1.jpg 2.png")
    data = read_manifest(file)
    assert data.classes == ("background", "big cat", "dog")
    assert data.photos == (Photo(tmp_path / "2.png", "big cat/2", (1,)), Photo(tmp_path / "x/1.jpg", "dog/x/1", (2,)))
    assert data.skipped == ()


@pytest.mark.parametrize("text", ["path\nx/1.jpg\n2.png\n", "path,label\nx/1.jpg,dog\n2.png,cat|dog\n2.png,cat\n"])
def test_read_manifest__without_labels_all_is_foreground(tmp_path, text):
    data = read_manifest(write(tmp_path, text, "x/1.jpg 2.png"), labeled=False)
    assert data.classes == ("background", "foreground")
    assert data.photos == (Photo(tmp_path / "2.png", "2", (1,)), Photo(tmp_path / "x/1.jpg", "x/1", (1,)))


def test_read_manifest__utf_16_of_excel(tmp_path):
    file = write(tmp_path, "", "x/\u00fc.jpg")
    file.write_text("path\tlabel\nx\\\u00fc.jpg\tcaf\u00e9\n", encoding="utf-16")
    assert read_manifest(file).classes == ("background", "caf\u00e9")
    file.write_text("path;label\nx/\u00fc.jpg;caf\u00e9\n", encoding="cp1252")
    with pytest.raises(DataError, match=r"must be a table in UTF-8 text: .* In Excel, save it as 'CSV UTF-8'"):
        read_manifest(file)


def test_read_manifest__lines_are_counted_from_the_top_of_the_file(tmp_path):
    file = write(tmp_path, "sep=;\n\npath;label\n1.jpg;cat\n\ngone.jpg;cat\n", "1.jpg")
    assert reasons_of(file) == [("gone.jpg", "line 6: no such file")]


@pytest.mark.fault("labels-look-alike")
def test_read_manifest__labels_that_look_alike_are_one_class(tmp_path):
    names = ["caf\u00e9", "cafe\u0301", "dog x", "dog\u00a0x", "cat", "cat\u200b|\u200b", "\u200b"]
    rows = "".join(f"{index}.jpg,{name}\n" for index, name in enumerate(names))
    data = read_manifest(write(tmp_path, f"path,label\n{rows}", " ".join(f"{index}.jpg" for index in range(7))))
    assert data.classes == ("background", "caf\u00e9", "cat", "dog x")
    assert {photo.path.name: photo.labels for photo in data.photos} == {
        f"{index}.jpg": labels for index, labels in enumerate([(1,), (1,), (3,), (3,), (2,), (2,), ()])
    }


@pytest.mark.parametrize("in_table, on_disk", [("NFC", "NFD"), ("NFD", "NFC")])
def test_read_manifest__a_path_with_accents_spelled_as_on_another_system(tmp_path, in_table, on_disk):
    name = unicodedata.normalize(on_disk, "caf\u00e9/\u00fc.jpg")
    file = write(tmp_path, f"path,label\n{unicodedata.normalize(in_table, name)},cat\n", name)
    assert [photo.path for photo in read_manifest(file).photos] == [tmp_path / name]


def test_read_manifest__without_labels_still_needs_paths(tmp_path):
    with pytest.raises(DataError, match=r"must have one column path; its columns are: file"):
        read_manifest(write(tmp_path, "file\n1.jpg\n", "1.jpg"), labeled=False)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffLabel;PATH;notes\ncat;1.jpg;a, b, c\n",
        "path\tlabel\n1.jpg\tcat\n",
        'id,"path","label"\r\n7,"1.jpg","cat"\r\n\r\n',
        "sep=;\r\npath;label\r\n1.jpg;cat\r\n",
        '"sep=|"\npath|label\n1.jpg|cat\n',
        "\n;;\n\npath;label;\n1.jpg;cat;\n;;\n;;\n",
        "path,label\n.\\1.jpg,cat\n",
        "path\u00a0,\u200blabel\n1.jpg,cat\n",
        "path,label\n./nothing/..\\1.jpg,cat\n",
    ],
)
def test_read_manifest__other_forms_of_csv(tmp_path, text):
    data = read_manifest(write(tmp_path, text, "1.jpg"))
    assert data.classes == ("background", "cat")
    assert data.photos == (Photo(tmp_path / "1.jpg", "cat/1", (1,)),)


def test_read_manifest__rows_that_cannot_be_used(tmp_path):
    text = "path,label\n1.jpg,cat\n\ngone.jpg,cat\n,cat\n2.jpg,\n./1.jpg,cat\n2.jpg\n\0,cat\n.,cat\n"
    assert reasons_of(write(tmp_path, text, "1.jpg 2.jpg")) == sorted(
        [
            (".", "line 10: no such file"),
            ("gone.jpg", "line 4: no such file"),
            ((tmp_path / "labels.csv").as_posix(), "line 5: the path is empty"),
            ("1.jpg", "line 7: repeats line 2"),
            ("2.jpg", "line 8: repeats line 6"),
            ("\0", "line 9: no such file"),
        ]
    )


def test_read_manifest__several_labels_in_one_cell_or_in_several_rows(tmp_path):
    text = "path,label\n1.jpg,dog | cat\n2.jpg,cat\nx/../2.jpg,dog\n2.jpg,cat\n3.jpg,bird\n"
    file = write(tmp_path, text, "1.jpg 2.jpg 3.jpg")
    data = read_manifest(file)
    assert data.classes == ("background", "bird", "cat", "dog")
    found = [(photo.name, photo.labels, photo.label) for photo in data.photos]
    assert found == [("bird/3", (1,), 1), ("cat/1", (2, 3), None), ("cat/2", (2, 3), None)]
    assert reasons_of(file) == [("2.jpg", "line 5: repeats line 3")]


def test_read_manifest__an_empty_label_means_none_of_the_classes(tmp_path):
    file = write(tmp_path, "path,label\n1.jpg,cat\nx/2.jpg,\n", "1.jpg x/2.jpg")
    data = read_manifest(file)
    assert data.classes == ("background", "cat")
    assert [photo.name for photo in data.labeled] == ["cat/1"]
    assert data.negatives == (Photo(tmp_path / "x/2.jpg", "background/x/2", ()),)
    unlabeled = read_manifest(file, labeled=False)
    assert [(photo.name, photo.labels) for photo in unlabeled.photos] == [("1", (1,)), ("background/x/2", ())]
    file.write_text("path,label\n1.jpg,\nx/2.jpg,\n")
    assert [photo.labels for photo in read_manifest(file, labeled=False).photos] == [(1,), (1,)]
    with pytest.raises(DataError, match="at least one row with a photo and a label, found 2 rows"):
        read_manifest(file)


def test_read_manifest__a_photo_cannot_have_a_label_and_none(tmp_path):
    file = write(tmp_path, "path,label\n1.jpg,\n2.jpg,dog\n1.jpg,cat\n", "1.jpg 2.jpg")
    with pytest.raises(DataError, match=r"1\.jpg has none in line 2 and 'cat' in line 4\. Remove one of the two rows"):
        read_manifest(file)


def test_read_manifest__paths_may_not_leave_the_folder(tmp_path):
    root = tmp_path / "set"
    outside = tmp_path / "set2" / "1.jpg"
    write(root, "", "1.jpg x/2.jpg")
    write(tmp_path / "set2", "", "1.jpg")
    (root / "link.jpg").symlink_to(outside)
    (root / "inner.jpg").symlink_to("1.jpg")
    rows = ["../set2/1.jpg", str(outside), "link.jpg", "inner.jpg", "x/../1.jpg", str(root / "x/2.jpg")]
    file = write(root, "path,label\n" + "".join(f"{row},cat\n" for row in rows))
    data = read_manifest(file)
    assert [photo.name for photo in data.photos] == ["cat/1", "cat/inner", "cat/x/2"]
    assert {one.path.as_posix() for one in data.skipped} == {"../set2/1.jpg", outside.as_posix(), "link.jpg"}
    assert all("is outside of" in one.reason for one in data.skipped)


def test_read_manifest__labels_and_names_that_are_no_file_names(tmp_path):
    file = write(tmp_path, "path,label\n1.jpg,a/b\n2.jpg,a\\b\n3.jpg,3\n3.png,3\n", "1.jpg 2.jpg 3.jpg 3.png")
    data = read_manifest(file)
    assert data.classes == ("background", "3", "a/b", "a\\b")
    assert [photo.name for photo in data.photos][:2] == ["3/3.jpg", "3/3.png"]
    folders = [photo.name.split("/")[0] for photo in data.photos[2:]]
    assert len(set(folders)) == 2
    assert all(folder.startswith("a_b-") for folder in folders)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its columns are: none"),
        ("file,label\n1.jpg,cat\n", "its columns are: file, label"),
        ("path,label,Path\n1.jpg,cat,2\n", "its columns are: path, label, Path"),
        ("path,label\n", "found 0 rows"),
        ("path,label\ngone.jpg,cat\n", "the first was skipped: line 2: no such file"),
        ("path,label\n1.jpg,background\n", "no class may be called 'background'"),
    ],
)
def test_read_manifest__says_what_the_table_lacks(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_manifest(write(tmp_path, text, "1.jpg"))


def test_read_manifest__file_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_manifest(tmp_path / "gone.csv")
    (tmp_path / "latin.csv").write_bytes("path,label\n1.jpg,Bär\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        read_manifest(tmp_path / "latin.csv")
    (tmp_path / "bad.parquet").write_bytes(b"path,label")
    pytest.importorskip("pyarrow")
    for name in ("bad.parquet", "gone.parquet"):
        with pytest.raises(DataError, match="readable Parquet table"):
            read_manifest(tmp_path / name)


def test_read_manifest__parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder = tmp_path / "label=9"
    write(folder, "", "1.jpg 2.jpg 3.jpg")
    columns = {"Label": [7, 7, None], "other": ["a", "b", "c"], "path": ["1.jpg", "2.jpg", "3.jpg"]}
    parquet.write_table(pyarrow.table(columns), folder / "labels.parquet")
    data = read_manifest(folder / "labels.parquet")
    assert data.classes == ("background", "7")
    assert [(photo.name, photo.labels) for photo in data.photos] == [("7/1", (1,)), ("7/2", (1,)), ("background/3", ())]
    data = read_manifest(folder / "labels.parquet", labeled=False)
    assert [(photo.name, photo.labels) for photo in data.photos] == [("1", (1,)), ("2", (1,)), ("background/3", ())]
    parquet.write_table(pyarrow.table({"path": ["1.jpg"]}), folder / "paths.parquet")
    assert [photo.labels for photo in read_manifest(folder / "paths.parquet", labeled=False).photos] == [(1,)]


@pytest.mark.parametrize(
    "labels, classes",
    [
        ([b"caf\xc3\xa9", b"dog"], ("caf\u00e9", "dog")),
        ([["dog", "cat"], []], ("cat", "dog")),
        ([1.0, float("nan")], ("1",)),
        ([None, "cat "], ("cat",)),
    ],
)
def test_read_manifest__parquet_of_other_types(tmp_path, labels, classes):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    write(tmp_path, "", "1.jpg 2.jpg")
    parquet.write_table(pyarrow.table({"path": [b"1.jpg", b"2.jpg"], "label": labels}), tmp_path / "labels.parquet")
    data = read_manifest(tmp_path / "labels.parquet")
    assert data.classes == ("background", *classes) and len(data.photos) == 2


@pytest.mark.parametrize(
    "label, message", [(b"\xff", r"UTF-8, but holds the bytes b'\\xff'"), ({"id": 1}, "must hold text")]
)
def test_read_manifest__parquet_without_text(tmp_path, label, message):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    write(tmp_path, "", "1.jpg")
    parquet.write_table(pyarrow.table({"path": ["1.jpg"], "label": [label]}), tmp_path / "labels.parquet")
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path / "labels.parquet")


@pytest.mark.parametrize("text", [b"label", b"kitten"], ids=["column name", "cell"])
def test_read_manifest__parquet_with_text_that_is_not_utf_8(tmp_path, text):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    encoded = io.BytesIO()
    columns = pyarrow.table({"path": ["1.jpg"], "label": ["kitten"]}).replace_schema_metadata()
    parquet.write_table(columns, encoded, compression="none", store_schema=False)
    (tmp_path / "labels.parquet").write_bytes(encoded.getvalue().replace(text, b"\xff" + text[1:]))
    with pytest.raises(DataError, match=r"must be a readable Parquet table: 'utf-8' codec can't decode"):
        read_manifest(tmp_path / "labels.parquet")


@pytest.mark.parametrize(("text", "rows"), [("x" * 100_000, 20_000), ("", 12_000_000)], ids=["long texts", "many rows"])
def test_read_manifest__a_small_parquet_that_holds_gigabytes(tmp_path, monkeypatch, text, rows):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.setattr("coarse2fine.data.manifest.MAX_CSV_BYTES", 1 << 24)
    cells = pyarrow.DictionaryArray.from_arrays(pyarrow.repeat(pyarrow.scalar(0, pyarrow.int32()), rows), [text])
    parquet.write_table(pyarrow.table({"path": cells, "label": cells}), tmp_path / "labels.parquet")
    assert (tmp_path / "labels.parquet").stat().st_size < 1 << 20
    with pytest.raises(DataError, match=rf"at most 16 MB .*, but 'path' takes more up to row \d+ of {rows};") as caught:
        read_manifest(tmp_path / "labels.parquet")
    read_rows = int(str(caught.value).partition("up to row ")[2].split()[0])
    assert read_rows * (len(text) + 100) < 1.5 * (1 << 24)


def test_read_manifest__parquet_whose_columns_differ_in_length(tmp_path):
    """Some bytes of a Parquet file say how many rows a column has; with a zero there, the column ends early."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    write(tmp_path, "", "1.jpg 2.jpg")
    encoded = io.BytesIO()
    table = pyarrow.table({"path": ["1.jpg", "2.jpg"], "label": ["cat", "dog"]})
    parquet.write_table(table, encoded, store_schema=False)
    content = encoded.getvalue()
    found = set()
    for at in range(len(content)):
        (tmp_path / "labels.parquet").write_bytes(content[:at] + b"\0" + content[at + 1 :])
        try:
            read_manifest(tmp_path / "labels.parquet")
        except DataError as error:
            found.add(str(error).partition("labels.parquet ")[2])
    for name in ("path", "label"):
        start = f"must have 2 rows in each column, as its metadata says, but '{name}' has 0;"
        assert any(message.startswith(start) for message in found)


def test_read_manifest__parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[parquet\]'"):
        read_manifest(tmp_path / "labels.parquet")


@pytest.mark.parametrize("text", ["cat", "Große Katze", "犬", "a.b", "3", "console", "it's (a) cat!"])
def test_safe_name__keeps_what_is_safe(text):
    assert safe_name(text) == text


@pytest.mark.parametrize(
    "text", ["..", "", " ", "a/b", "a\\b", "CON", "nul.txt", "com1", "cat.", " cat", "a\nb", "x" * 300]
)
def test_safe_name__changes_what_is_not(text):
    assert safe_name(text) != text


LABELS = st.text(st.sampled_from("aA.: /\\-0é") | st.characters(), max_size=200)


@given(st.lists(LABELS | st.sampled_from(["CON", "nul", "Aux.x", "lpt1"]), unique=True, max_size=8))
def test_safe_name__is_safe_and_distinct(labels):
    names = [safe_name(label) for label in labels]
    assert len(set(names)) == len(labels)
    for name in names:
        assert 1 <= len(name.encode()) <= 120
        assert not set(name) & set('/\\:*?"<>|')
        assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)
        assert name == name.strip(". ")
        assert name.split(".")[0].strip().upper() not in ("CON", "NUL", "AUX", "LPT1")


def test_safe_name__what_looks_like_a_changed_name_stays_distinct():
    changed = safe_name("a/b")
    assert safe_name(changed) != changed


def test_read_manifest__a_path_too_long_for_any_disk_is_no_file(tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("path,label\na.png,cat\n" + 5000 * "x" + ",cat\n")
    dataset = read_manifest(tmp_path / "list.csv")
    assert len(dataset.photos) == 1 and "no such file" in dataset.skipped[0].reason
