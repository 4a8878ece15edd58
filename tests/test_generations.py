import csv
import json

import numpy as np
import pytest

from coarse2fine.cli import main
from coarse2fine.coarse.student import Student
from coarse2fine.config import GenerationsConfig, StudentConfig, StudentNetworkConfig, StudentTrainConfig
from coarse2fine.data import read_image
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.generations import find_kept, train_student, weigh
from coarse2fine.store import read_json, read_soft

CONFIG = StudentConfig(
    network=StudentNetworkConfig(width=0.2, input_px=32, view_px=32),
    train=StudentTrainConfig(
        batch=8,
        epochs=(100,),
        resize_px=36,
        learning_rate=0.01,
        loader_workers=0,
        precision="fp32",
        checkpoint_photos=1000,
    ),
    generations=GenerationsConfig(number=2, keep_share=0.5),
)


@pytest.fixture
def places(tmp_path, draw_squares):
    """Frames with soft masks, and new photos without."""
    draw_squares(tmp_path / "frames" / "v", 12, tmp_path / "masks")
    draw_squares(tmp_path / "new", 10, tmp_path / "unused")
    return tmp_path


def write_selection(path, kept: list[int]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["video", "frame", "score", "kept"])
        table.writeheader()
        for index in range(12):
            table.writerow({"video": "v", "frame": f"v/{index}", "score": 0.5, "kept": int(index in kept)})


def changed(epochs: int = 100, **changes: object) -> StudentConfig:
    train = CONFIG.train.model_copy(update={"epochs": (epochs,)})
    return CONFIG.model_copy(update={"train": train, "generations": CONFIG.generations.model_copy(update=changes)})


@pytest.mark.parametrize("selector, enhance", [("evalseg", True), ("mean", False), ("none", True)])
def test_train_student__two_generations_find_the_squares(places, selector, enhance):
    config = changed(selector=selector, enhance=enhance)
    student = train_student([places / "frames"], places / "masks", places / "s.safetensors", config, [places / "new"])
    photo = read_image(places / "new" / "3.png")
    bright = photo.min(axis=2) > 140
    soft = student(photo)
    assert soft[bright].mean() > 0.5 > 0.3 > soft[~bright].mean()
    assert (Student.load(places / "s.safetensors")(photo) == soft).all()
    second = places / "s" / "generation-2"
    assert len(read_json(second / "judge" / "scores.json")) == 10
    assert read_json(second / "training" / "done.json")["photos"] == (10 if selector == "none" else 5)
    assert (second / "enhanced" / "3.png").exists() == enhance


def test_train_student__again_does_nothing_and_a_change_only_what_depends_on_it(places, capsys):
    def train(share: float) -> str:
        main_arguments = ["student", "train", "--frames", str(places / "frames"), "--masks", str(places / "masks")]
        main_arguments += ["--photos", str(places / "new"), "--out", str(places / "s.safetensors"), "--seed", "0"]
        main_arguments += [
            "--network.width",
            "0.25",
            "--network.input-px",
            "32",
            "--network.view-px",
            "32",
            "--train.batch",
            "8",
        ]
        main_arguments += ["--train.resize-px", "36", "--train.loader-workers", "0", "--train.epochs", "2"]
        main([*main_arguments, "--generations.number", "2", "--generations.keep-share", str(share)])
        return capsys.readouterr().out

    first = train(0.5)
    assert "done before" not in first
    before = (places / "s.safetensors").read_bytes()
    assert train(0.5).count("done before") == first.count("generation")
    assert (places / "s.safetensors").read_bytes() == before
    again = train(0.8)
    assert "generation 1: training: done before" in again and "generation 2: GrabCut: done before" in again
    assert "generation 2: training: done again" in again


def test_train_student__another_generation_goes_on_from_the_last(places, capsys):
    once, twice = changed(epochs=40, number=1), changed(epochs=40, number=2)
    train_student([places / "frames"], places / "masks", places / "s.safetensors", once)
    time = (places / "s" / "generation-1" / "student.safetensors").stat().st_mtime_ns
    train_student([places / "frames"], places / "masks", places / "s.safetensors", twice, [places / "new"])
    assert (places / "s" / "generation-1" / "student.safetensors").stat().st_mtime_ns == time
    assert (places / "s" / "generation-2" / "student.safetensors").exists()
    whole = (places / "s.safetensors").stat().st_size
    train_student([places / "frames"], places / "masks", places / "s.safetensors", twice, [places / "new"], half=True)
    assert (places / "s.safetensors").stat().st_size < 0.6 * whole
    soft = read_soft(places / "s" / "generation-2" / "soft" / "0.png")
    assert soft.shape == (16, 16) and np.ptp(soft) > 0


@pytest.mark.parametrize("where", ["masks/selection.csv", "selection.csv"])
def test_find_kept__as_the_teacher_selected(places, where):
    assert len(find_kept([places / "frames"], places / "masks")) == 12
    write_selection(places / where, [2, 11])
    assert [photo.name for photo in find_kept([places / "frames"], places / "masks")] == ["v/11", "v/2"]
    write_selection(places / where, [])
    with pytest.raises(DataError, match="must keep at least one of the masks"):
        find_kept([places / "frames"], places / "masks")


def test_find_kept__frames_of_kept_masks_only_and_from_several_folders(places):
    (places / "frames" / "v" / "2.png").unlink()
    with pytest.raises(DataError, match=r"1 of 12 in .*have none in .*frames; the first is v/2.png"):
        find_kept([places / "frames"], places / "masks")
    write_selection(places / "selection.csv", [5, 7])
    (places / "more" / "v").mkdir(parents=True)
    (places / "frames" / "v" / "5.png").rename(places / "more" / "v" / "5.jpg")
    found = find_kept([places / "frames", places / "more"], places / "masks")
    assert [photo.path.parent.parent.name for photo in found] == ["more", "frames"]


def test_main__student_must_be_followed_by_train(capsys):
    for arguments, found in ((["student"], "found nothing"), (["student", "tarin"], "found 'tarin'")):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2 and found in capsys.readouterr().err


def test_weigh__draws_masks_to_the_middle():
    flat = np.full((9, 9), 0.2, np.float32)
    assert (weigh(flat, 0) == flat).all()
    weighed = weigh(flat, 0.25)
    assert weighed[4, 4] == 1 and weighed[4, 0] == pytest.approx(np.exp(-((4 / 9) ** 2) / (2 * 0.25**2)))
    np.testing.assert_allclose(weighed, weighed[::-1, ::-1], rtol=1e-5)
    assert (weigh(np.zeros((4, 4), np.float32), 0.3) == 0).all()


def test_train_student__says_what_is_missing(places):
    with pytest.raises(ConfigError, match="must end in .safetensors"):
        train_student([places / "frames"], places / "masks", places / "s.pt", CONFIG)
    with pytest.raises(ConfigError, match="2 generations need new photos"):
        train_student([places / "frames"], places / "masks", places / "s.safetensors", CONFIG)
    with pytest.raises(ConfigError, match="add --frames"):
        train_student([], places / "masks", places / "s.safetensors", changed(number=1))
    with pytest.raises(DataError, match="must hold soft masks as PNG"):
        train_student([places / "frames"], places / "new" / "none", places / "s.safetensors", changed(number=1))
    assert json.dumps(sorted(path.name for path in places.iterdir())) == '["frames", "masks", "new", "unused"]'
