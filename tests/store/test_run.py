import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as PillowImage

from coarse2fine.errors import DataError
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.png import read_mask, read_soft, read_soft_or_binary, write_mask, write_soft
from coarse2fine.runtime.files import read_json, read_json_or_empty, write_atomically, write_json
from coarse2fine.store.lock import claim_folder, hold_folder
from coarse2fine.store.run import Run
from coarse2fine.store.stages import Stage, explain_change


def test_write_soft__comes_back_within_a_gray_level(tmp_path):
    soft = np.linspace(0, 1, 77, dtype=np.float32).reshape(7, 11)
    write_soft(tmp_path / "a" / "soft.png", soft)
    back = read_soft(tmp_path / "a" / "soft.png")
    assert back.dtype == np.float32 and np.abs(back - soft).max() <= 0.5 / 255 + 1e-6
    assert back[0, 0] == 0 and back[-1, -1] == 1


def test_read_soft__says_what_is_wrong(tmp_path):
    write_mask(tmp_path / "classes.png", np.ones((3, 3), np.uint8))
    with pytest.raises(DataError, match=r"classes\.png must be a soft mask .* its mode is P; .*'mask' or 'box'"):
        read_soft(tmp_path / "classes.png")
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(DataError, match=r"text\.png cannot be read"):
        read_soft(tmp_path / "text.png")
    with pytest.raises(DataError, match="There is no soft mask"):
        read_soft(tmp_path / "gone.png")


def test_write_mask__comes_back_in_voc_colors(tmp_path):
    mask = np.array([[0, 1, 2], [20, 254, 255]], np.uint8)
    path = tmp_path / "a b" / "kätzchen.png"
    write_mask(path, mask)
    assert (read_mask(path) == mask).all()
    with PillowImage.open(path) as image:
        assert image.mode == "P"
        assert (np.asarray(image.convert("RGB")) == color_table()[mask]).all()
    assert [item.name for item in path.parent.iterdir()] == ["kätzchen.png"]


def test_read_mask__refuses_what_is_no_mask(tmp_path):
    PillowImage.new("RGB", (4, 4)).save(tmp_path / "colors.png")
    (tmp_path / "text.png").write_text("no image")
    PillowImage.new("1", (2, 2), 1).save(tmp_path / "bits.png")
    with pytest.raises(DataError, match="one class index per pixel .* not RGB"):
        read_mask(tmp_path / "colors.png")
    with pytest.raises(DataError, match="cannot be read"):
        read_mask(tmp_path / "text.png")
    with pytest.raises(DataError, match="There is no mask"):
        read_mask(tmp_path / "gone.png")
    assert (read_mask(tmp_path / "bits.png") == 1).all()


def test_read_mask__as_large_as_the_largest_photo(tmp_path, monkeypatch):
    write_mask(tmp_path / "a.png", np.ones((20, 20), np.uint8))
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 10)
    assert read_mask(tmp_path / "a.png").sum() == 400
    assert PillowImage.MAX_IMAGE_PIXELS == 10


def test_write_atomically__a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), write_atomically(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomically__a_full_disk_is_one_sentence(tmp_path):
    with (
        pytest.raises(DataError, match="could not be written .*Finished files are kept"),
        write_atomically(tmp_path / "file"),
    ):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_write_json__is_sorted_and_readable(tmp_path):
    write_json(tmp_path / "a.json", {"b": "ü", "a": 1})
    assert (tmp_path / "a.json").read_text(encoding="utf-8").index('"a"') < 5
    assert read_json(tmp_path / "a.json") == {"a": 1, "b": "ü"}
    assert read_json_or_empty(tmp_path / "a.json") == {"a": 1, "b": "ü"}
    assert read_json_or_empty(tmp_path / "none.json") == {}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_json(tmp_path / "a.json")


def test_stage__is_done_only_after_finish_and_with_the_same_key(tmp_path):
    stage = Stage(tmp_path / "s", "test", {"x": 1}, ("before",))
    assert not stage.is_done()
    assert stage.begin() is None
    (stage.folder / "mask.png").write_text("kept")
    assert stage.begin() is None and (stage.folder / "mask.png").exists()
    stage.finish(1.0, photos=3)
    assert stage.is_done() and stage.done()["photos"] == 3
    assert not Stage(stage.folder, "test", {"x": 2}, ("before",)).is_done()
    assert not Stage(stage.folder, "test", {"x": 1}, ("other",)).is_done()


def test_stage__other_settings_throw_the_old_files_away_and_say_why(tmp_path):
    old = Stage(tmp_path / "s", "test", {"x": 1})
    old.begin()
    (old.folder / "mask.png").write_text("old")
    old.finish(1.0)
    new = Stage(tmp_path / "s", "test", {"x": 2})
    assert new.begin() == "x 1 -> 2"
    assert not (new.folder / "mask.png").exists() and not new.is_done()


def test_stage__a_kill_while_throwing_away_does_not_stop_the_next_run(tmp_path, monkeypatch):
    old = Stage(tmp_path / "s", "test", {"x": 1})
    old.begin()
    old.finish(1.0)
    new = Stage(tmp_path / "s", "test", {"x": 2})
    with monkeypatch.context() as patched:
        patched.setattr(
            "coarse2fine.store.stages.shutil.rmtree", lambda path, **options: 1 / 0 if not options else None
        )
        with pytest.raises(ZeroDivisionError):
            new.begin()
    assert new.begin() is None
    (new.folder / ".mask.png.77.tmp").write_text("half")
    new.finish(1.0)
    assert new.is_done() and [path.name for path in new.folder.iterdir()] == ["done.json"]


def test_stage__does_not_touch_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="must be empty or from an earlier run"):
        Stage(tmp_path, "test", {}).begin()
    assert (tmp_path / "thesis.txt").exists()


def test_claim_folder__goes_on_with_the_same_settings_only(tmp_path):
    folder = tmp_path / "masks"
    claim_folder(folder, {"method": "magic"})
    claim_folder(folder, {"method": "box"})  # nothing was made yet
    (folder / "class").mkdir()
    claim_folder(folder, {"method": "box"})
    with pytest.raises(DataError, match="made with other settings .method box -> saliency."):
        claim_folder(folder, {"method": "saliency"})
    with pytest.raises(DataError, match="must be new or empty"):
        claim_folder(tmp_path, {})


def test_hold_folder__one_process_at_a_time_and_a_kill_lets_go(tmp_path):
    hold = "import sys, time; from pathlib import Path; from coarse2fine.store.lock import hold_folder\n"
    hold += "with hold_folder(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    run = tmp_path / "runs" / "new"
    with subprocess.Popen([sys.executable, "-c", hold, str(run)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        try:
            with pytest.raises(DataError, match="Only one process at a time may work on .*new, but another process"):
                hold_folder(run, timeout_s=0).__enter__()
        finally:
            other.kill()
    with hold_folder(run, timeout_s=0):
        pass
    with hold_folder(run, timeout_s=0):
        pass


def test_hold_folder__that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        hold_folder(tmp_path / "file" / "run").__enter__()


def test_explain_change__names_settings_or_an_earlier_stage():
    assert explain_change({"a": 1, "b": 2}, {"a": 1, "b": 3}) == "b 2 -> 3"
    assert explain_change({"a": 1}, {"a": 1}) == "an earlier stage changed"


def test_run__names_its_places(tmp_path):
    run = Run(tmp_path)
    assert run.enhanced(0) == tmp_path / "enhanced"
    assert run.enhanced(2) == tmp_path / "round-2" / "enhanced"
    assert run.weights(1) == tmp_path / "round-1" / "weights.safetensors"
    assert json.dumps(str(run.metrics(0))).endswith('metrics.json"')


def test_write_atomically__long_names_share_no_temporary_file(tmp_path):
    first, second = (tmp_path / f"{start}{'字' * 80}.png" for start in "ab")
    with write_atomically(first) as one, write_atomically(second) as two:
        one.write(b"one")
        two.write(b"two")
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "mask.png", tmp_path / ("x" * 300)):
        with pytest.raises(DataError, match="could not be written"), write_atomically(path) as file:
            file.write(b"lost")


def test_stage__a_missing_package_has_no_version(tmp_path, monkeypatch):
    monkeypatch.setattr("coarse2fine.store.stages.VERSIONED", ("numpy", "no-such-package"))
    stage = Stage(tmp_path / "s", "test", {})
    stage.begin()
    stage.finish(1.0)
    assert stage.done()["versions"]["no-such-package"] is None and stage.done()["versions"]["numpy"]


def test_read_soft_or_binary__gray_is_soft_and_a_palette_holds_indices(tmp_path):
    soft = np.array([[0.0, 0.2], [0.6, 1.0]], np.float32)
    write_soft(tmp_path / "soft.png", soft)
    np.testing.assert_allclose(read_soft_or_binary(tmp_path / "soft.png"), soft, atol=0.002)
    write_mask(tmp_path / "mask.png", np.array([[0, 3], [255, 1]], np.uint8))
    assert read_soft_or_binary(tmp_path / "mask.png").tolist() == [[0, 1], [0, 1]]
    PillowImage.new("RGB", (2, 2)).save(tmp_path / "colors.png")
    with pytest.raises(DataError, match="its mode is RGB"):
        read_soft_or_binary(tmp_path / "colors.png")
