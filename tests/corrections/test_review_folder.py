"""The review folder: decision and mask change together, and what a stranger wrote into its files stays harmless."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.corrections.review import APPLIED_FILE, Review, apply_review_decisions, decisions_path, read_decisions
from coarse2fine.errors import DataError
from coarse2fine.masks.png import encode_mask
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.files import hash_bytes, read_json, write_json
from coarse2fine.types import Photo

QUIET = Console(quiet=True)
MASK = encode_mask(np.eye(9, 12, dtype=np.uint8))

KILLS = """
import os, pathlib, signal, sys
from coarse2fine.corrections.review import Review

CHANGES = [
    ("a", "accepted", "coarse"), ("a", "fixed", "round-1"), ("a", "rejected", "enhanced"), ("a", "accepted", "round-2"),
    ("a", None, ""), ("c/b", "rejected", "coarse"), ("c/b", "fixed", "round-3"),
]

def change(review, name, decision, stage):
    if decision is None:
        review.take_back(name)
    else:
        review.keep(name, decision, stage, None if decision == "rejected" else stage.encode())

def run(folder, change_to_kill, moment):
    review, seen = Review(folder), [-1]
    def count(event, _arguments):
        if seen[0] >= 0 and event in ("open", "os.rename", "os.remove", "os.mkdir"):
            seen[0] += 1
            if seen[0] == moment:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    for number, one in enumerate(CHANGES):
        if number == change_to_kill:
            seen[0] = 0
        change(review, *one)
        if number == change_to_kill:
            os._exit(0)

def check(folder, killed):
    review, expected = Review(folder), [{}]
    for name, decision, stage in CHANGES[:killed + 1]:
        expected.append({key: value for key, value in expected[-1].items() if key != name})
        if decision:
            expected[-1][name] = decision, stage
    decided = {name: (made.decision, made.stage) for name, made in review.decided.items()}
    assert decided in expected[-2:], (decided, expected)  # what was acknowledged is not lost
    masks = {path: path.read_bytes().decode() for path in (folder / "masks").rglob("*") if path.is_file()}
    with_mask = {name: stage for name, (decision, stage) in decided.items() if decision != "rejected"}
    assert masks == {review.mask(name): stage for name, stage in with_mask.items()}, (masks, decided)
    assert {path.name for path in folder.glob("*")} <= {"decisions.json", "masks"}

root, kills = pathlib.Path(sys.argv[1]), 0
for killed in range(len(CHANGES)):
    for moment in range(1, 1000):
        folder = root / f"{killed}-{moment}"
        child = os.fork()
        if not child:
            run(folder, killed, moment)
        _, status = os.waitpid(child, 0)
        check(folder, killed)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        kills += 1
print(kills)
"""


@pytest.fixture
def photo(tmp_path) -> Photo:
    path = tmp_path / "data" / "cat" / "a.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (12, 9)).save(path)
    return Photo(path, "cat/a", (1,))


@pytest.fixture
def run(tmp_path) -> Path:
    (tmp_path / "run" / "review").mkdir(parents=True)
    return tmp_path / "run"


def test_review__decision_and_mask_agree_after_a_kill_at_any_moment(tmp_path):
    """A process is killed before each of its file operations, for each kind of change."""
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(tmp_path)], check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


def test_keep__without_room_for_the_mask_the_earlier_decision_and_mask_stay(run, monkeypatch):
    review = Review(run / "review")
    review.keep("cat/a", "accepted", "coarse", b"earlier")

    def fail(*_arguments):
        raise DataError("full")

    with monkeypatch.context() as patch:
        patch.setattr("coarse2fine.corrections.review.write_json", fail)
        for change in (lambda: review.keep("cat/a", "fixed", "", b"new"), lambda: review.take_back("cat/a")):
            with pytest.raises(DataError, match="full"):
                change()
    for reopened in (review, Review(run / "review")):
        assert reopened.decided["cat/a"].decision == "accepted"
        assert reopened.mask("cat/a").read_bytes() == b"earlier"


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "cat/../../../outside", "", "a\0", "./a", "cat//a"])
def test_apply_review_decisions__a_name_that_leads_outside_deletes_nothing(run, photo, tmp_path, name):
    outside = tmp_path / "outside.png"
    outside.write_bytes(MASK)
    write_json(run / "corrected" / APPLIED_FILE, {"masks": {name: hash_bytes(MASK)}, "rejected": []})
    with pytest.raises(DataError, match="A name must be a relative path"):
        apply_review_decisions(run / "review", [photo], run / "corrected", QUIET)
    assert outside.read_bytes() == MASK


def test_apply_review_decisions__links_are_not_followed(run, photo, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").write_bytes(MASK)
    (run / "corrected").mkdir()
    (run / "corrected" / "cat").symlink_to(outside)
    write_json(run / "corrected" / APPLIED_FILE, {"masks": {"cat/a": hash_bytes(MASK)}, "rejected": []})
    with pytest.raises(DataError, match="corrected/cat must not be a link"):
        apply_review_decisions(run / "review", [photo], run / "corrected", QUIET)
    (run / "corrected" / "cat").unlink()
    (run / "review" / "masks").symlink_to(outside.parent)
    for change in (lambda one: one.take_back("outside/a"), lambda one: one.keep("outside/a", "fixed", "", b"new")):
        with pytest.raises(DataError, match="review/masks must not be a link"):
            change(Review(run / "review"))
    assert (outside / "a.png").read_bytes() == MASK and [path.name for path in outside.iterdir()] == ["a.png"]


def test_review__an_unfinished_change_of_a_stranger_stays_in_the_folder(run, tmp_path):
    change = {"name": "../../outside", "decision": None, "mask": None}
    (tmp_path / "outside.png").write_bytes(MASK)
    write_json(run / "review" / "unfinished.json", change)
    with pytest.raises(DataError, match="A name must be a relative path"):
        Review(run / "review")
    assert (tmp_path / "outside.png").exists()


DECISION = {"decision": "accepted", "stage": "coarse", "time": "2024-05-01T00:00:00+00:00"}
WRONG = ["null", "7", '"a"', "[]", "[[1]]", '{"cat/a": 3}', '{"cat/a": []}', "{", "[" * 100_000, '{"a": NaN', ""]


@pytest.mark.parametrize(
    "content",
    [
        *WRONG,
        json.dumps({"cat/a": DECISION | {"stage": "x" * 10**7}}),
        json.dumps({"cat/a": DECISION | {"stage": "../coarse"}}),
        json.dumps({"cat/a": DECISION | {"time": "x" * 10**6}}),
        json.dumps({"cat/a": DECISION | {"more": 1}}),
        json.dumps({"cat/a": {"decision": "accepted"}}),
    ],
)
def test_read_decisions__json_of_the_wrong_kind_is_one_sentence(run, content):
    decisions_path(run / "review").write_text(content)
    for read in (read_decisions, Review):
        with pytest.raises(DataError, match=r"decisions\.json (must hold decisions|cannot be read as JSON)") as caught:
            read(run / "review")
        assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [*WRONG, '{"masks": []}', '{"rejected": {"a": 1}}', '{"masks": {"cat/a": 1}}'])
def test_apply_review_decisions__what_was_applied_of_the_wrong_kind_is_one_sentence(run, photo, content):
    (run / "corrected").mkdir()
    (run / "corrected" / APPLIED_FILE).write_text(content)
    if content == "{}":
        return
    with pytest.raises(DataError, match=r"review\.json (must hold the applied|cannot be read as JSON)"):
        apply_review_decisions(run / "review", [photo], run / "corrected", QUIET)


def test_read_decisions__a_pipe_is_not_opened(run):
    os.mkfifo(decisions_path(run / "review"))
    with pytest.raises(DataError, match="must be a regular file"):
        read_decisions(run / "review")


def test_apply_review_decisions__a_mask_that_is_none_is_one_sentence(run, photo):
    write_json(decisions_path(run / "review"), {"cat/a": DECISION})
    path = Review(run / "review").mask("cat/a")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match="no image|not an image|cannot identify"):
        apply_review_decisions(run / "review", [photo], run / "corrected", QUIET)
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="must be a mask of 12 x 9 pixels, but has over"):
        apply_review_decisions(run / "review", [photo], run / "corrected", QUIET)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"a\.png must be a regular file, but is a folder"):
        apply_review_decisions(run / "review", [photo], run / "corrected", QUIET)


def test_apply_review_decisions__a_pipe_instead_of_a_mask_is_not_opened(run, photo, monkeypatch):
    write_json(decisions_path(run / "review"), {"cat/a": DECISION})
    path = Review(run / "review").mask("cat/a")
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda it: pytest.fail(f"{it} was opened") if it == path else read(it))
    with pytest.raises(DataError, match=r"a\.png must be a regular file, but is a folder, a pipe"):
        apply_review_decisions(run / "review", [photo], run / "corrected", QUIET)


def test_review__a_folder_with_the_name_of_a_temporary_file_stays(run, tmp_path):
    folder = run / "review" / "masks" / ".folder.tmp"
    folder.mkdir(parents=True)
    (folder.parent / ".link.tmp").symlink_to(tmp_path)
    (folder.parent / ".file.tmp").touch()
    Review(run / "review")
    assert list(folder.parent.iterdir()) == [folder]


def test_keep__a_folder_instead_of_a_mask_is_one_sentence_and_the_earlier_decision_stays(run):
    review = Review(run / "review")
    review.keep("cat/a", "rejected", "coarse")
    review.mask("cat/a").mkdir(parents=True)
    before = decisions_path(run / "review").read_bytes()
    for change in (
        lambda: review.take_back("cat/a"),
        lambda: review.keep("cat/a", "rejected", "round-1"),
        lambda: review.keep("cat/a", "fixed", "", MASK),
    ):
        with pytest.raises(DataError, match=r"cat/a\.png must be a mask, but is a folder; remove it\.$"):
            change()
        assert decisions_path(run / "review").read_bytes() == before
        assert review.decided == read_decisions(run / "review")
        assert not (run / "review" / "unfinished.json").exists()


def test_keep__a_mask_that_cannot_be_deleted_is_one_sentence_and_the_earlier_decision_stays(run):
    review = Review(run / "review")
    review.keep("cat/a", "rejected", "coarse")
    (run / "review" / "masks").touch()  # a file instead of the folder
    with pytest.raises(DataError, match=r"cat/a\.png could not be deleted .*The earlier decision stays"):
        review.keep("cat/a", "rejected", "round-1")
    assert review.decided == read_decisions(run / "review") and review.decided["cat/a"].stage == "coarse"
    assert not (run / "review" / "unfinished.json").exists()


def test_review__an_unfinished_change_waits_until_a_folder_instead_of_the_mask_is_removed(run):
    write_json(run / "review" / "unfinished.json", {"name": "cat/a", "decision": None, "mask": None})
    write_json(decisions_path(run / "review"), {"cat/a": DECISION})
    folder = run / "review" / "masks" / "cat" / "a.png"
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match=r"cat/a\.png must be a mask, but is a folder; remove it\.$"):
        Review(run / "review")
    assert list(read_decisions(run / "review")) == ["cat/a"]
    folder.rmdir()
    assert not Review(run / "review").decided


def test_review__a_half_written_change_says_how_to_go_on(run):
    path = run / "review" / "unfinished.json"
    path.write_text('{"name": "cat/')
    with pytest.raises(DataError, match=r"Remove .*unfinished\.json, and make that decision again\.$"):
        Review(run / "review")
    path.unlink()
    assert not Review(run / "review").decided


def test_apply_review_decisions__decisions_about_no_photo_of_the_run_are_ignored(run, photo):
    write_json(decisions_path(run / "review"), dict.fromkeys(("../../outside", "/etc/passwd", "dog/z"), DECISION))
    apply_review_decisions(run / "review", [photo], run / "corrected", QUIET)
    assert not (run / "corrected").exists() and len(read_json(decisions_path(run / "review"))) == 3
