import os
from pathlib import Path

import pytest

from coarse2fine.errors import DataError
from coarse2fine.runtime.files import (
    MAX_CSV_BYTES,
    read_csv,
    read_json,
    read_json_as,
    read_json_or_empty,
    replace_when_complete,
    write_csv,
    write_json,
)


def test_write_csv__read_csv_returns_the_same_text(tmp_path):
    path = tmp_path / "new" / "table.csv"
    write_csv(path, ["photo", "share"], iter([["a,b\r\n", 0.5], ["ü", None]]))
    assert read_csv(path, ["photo"]) == [{"photo": "a,b\r\n", "share": "0.5"}, {"photo": "ü", "share": ""}]


def test_read_csv__names_missing_columns(tmp_path):
    write_csv(tmp_path / "t.csv", ["a"], [])
    with pytest.raises(DataError, match=r"t\.csv must be a CSV table with the columns a, b, c, but lacks b, c"):
        read_csv(tmp_path / "t.csv", ["a", "b", "c"])


def test_read_csv__a_file_that_is_no_text_is_one_sentence(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="cannot be read as a CSV table"):
        read_csv(tmp_path / "t.csv", ["a"])


def test_read_csv__a_pipe_or_a_huge_file_is_not_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "huge.csv").touch()
    os.truncate(tmp_path / "huge.csv", MAX_CSV_BYTES + 1)
    monkeypatch.setattr(Path, "open", lambda path, *_, **__: pytest.fail(f"{path} was opened"))
    with pytest.raises(DataError, match=r"pipe\.csv must be a regular file"):
        read_csv(tmp_path / "pipe.csv", ["a"])
    with pytest.raises(DataError, match=r"huge\.csv .*1073741825 bytes, at most 1073741824 are allowed"):
        read_csv(tmp_path / "huge.csv", ["a"])


def test_read_csv__a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv cannot be read as a CSV table"):
        read_csv(tmp_path / "none.csv", ["a"])


def test_replace_when_complete__after_an_error_the_old_file_is_unchanged(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyError), replace_when_complete(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_replace_when_complete__a_folder(tmp_path):
    with replace_when_complete(tmp_path / "made") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("1")
    assert [item.name for item in (tmp_path / "made").iterdir()] == ["a"]
    with pytest.raises(KeyError), replace_when_complete(tmp_path / "other") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("1")
        raise KeyError
    assert [item.name for item in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("text", ["[1]", "3", '"a"', "null"])
def test_read_json_or_empty__another_kind_of_json(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json must hold a JSON object, but: Input should be a valid dictionary"):
        read_json_or_empty(tmp_path / "a.json")


def test_read_json_as__names_the_value_that_is_wrong(tmp_path):
    (tmp_path / "a.json").write_text('{"x": {"y": 1}}')
    with pytest.raises(DataError, match=r"must hold numbers, but at x -> y: Input should be a valid string"):
        read_json_as(tmp_path / "a.json", dict[str, dict[str, str]], "numbers")


def test_read_json__a_pipe_and_deep_nesting_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="must be a regular file"):
        read_json(tmp_path / "pipe")
    (tmp_path / "deep").write_text("[" * 200_000)
    with pytest.raises(DataError, match="deep cannot be read as JSON"):
        read_json(tmp_path / "deep")


def test_write_json__a_file_name_that_is_not_utf_8(tmp_path):
    write_json(tmp_path / "a.json", {"a": "\udcff ü"})
    assert read_json(tmp_path / "a.json") == {"a": "\udcff ü"}
    assert b"\\udcff \xc3\xbc" in (tmp_path / "a.json").read_bytes()
