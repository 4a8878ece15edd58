import csv
import json

import numpy as np
import pytest

from coarse2fine.cli import main
from coarse2fine.coarse.student import Student
from coarse2fine.config import GenerationsConfig, StudentConfig, StudentNetworkConfig, StudentTrainConfig
from coarse2fine.data import read_image
from coarse2fine.distillation.examples import describe_examples, find_first, find_kept
from coarse2fine.distillation.generations import snap, train_student, weigh
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.masks.png import read_soft, write_soft
from coarse2fine.masks.resize import resize_mask, resize_soft
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import read_json

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
    student = train_student([places / "frames"], [places / "masks"], places / "s.safetensors", config, [places / "new"])
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
    train_student([places / "frames"], [places / "masks"], places / "s.safetensors", once)
    time = (places / "s" / "generation-1" / "student.safetensors").stat().st_mtime_ns
    train_student([places / "frames"], [places / "masks"], places / "s.safetensors", twice, [places / "new"])
    assert (places / "s" / "generation-1" / "student.safetensors").stat().st_mtime_ns == time
    assert (places / "s" / "generation-2" / "student.safetensors").exists()
    whole = (places / "s.safetensors").stat().st_size
    train_student([places / "frames"], [places / "masks"], places / "s.safetensors", twice, [places / "new"], half=True)
    assert (places / "s.safetensors").stat().st_size < 0.6 * whole
    soft = read_soft(places / "s" / "generation-2" / "soft" / "0.png")
    assert soft.shape == (16, 16) and np.ptp(soft) > 0


def lessons_of(places, number: int) -> int:
    return read_json(places / "s" / f"generation-{number}" / "training" / "done.json")["photos"]


def test_train_student__lessons_are_kept_but_of_photos_with_a_new_mask(places, capsys):
    """Of 12 frames one is among the new photos: it teaches with its new mask alone."""

    def train(epochs: tuple[int, ...], keep: bool) -> str:
        config = changed(number=len(epochs), selector="none", keep_examples=keep)
        config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": epochs})})
        out, context = places / "s.safetensors", Context(console=Console())
        train_student([places / "frames"], [places / "masks"], out, config, [places / "new"], context)
        return capsys.readouterr().out

    (places / "frames" / "v" / "3.png").rename(places / "new" / "old.png")
    (places / "frames" / "v" / "3.png").symlink_to(places / "new" / "old.png")
    train((60, 1), keep=False)
    assert (lessons_of(places, 1), lessons_of(places, 2)) == (12, 11)
    again = train((60, 40, 1), keep=True)
    assert "generation 1: training: done before" in again and "generation 2: GrabCut: done before" in again
    assert "generation 2: training: done again" in again
    assert (lessons_of(places, 2), lessons_of(places, 3)) == (11 + 11, 11 + 11)


def test_describe_examples__depends_on_the_content_of_the_masks(places):
    before = find_kept([places / "frames"], places / "masks")
    first = describe_examples(before)
    assert describe_examples(find_kept([places / "frames"], places / "masks")) == first
    (places / "masks" / "v" / "3.png").write_bytes((places / "masks" / "v" / "4.png").read_bytes())
    assert describe_examples(before) != first != describe_examples(before[1:])


def test_train_student__soft_share_keeps_doubt(places):
    for share in (0.0, 0.5):
        config = changed(epochs=40, selector="none", soft_share=share)
        config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": (40, 1)})})
        train_student([places / "frames"], [places / "masks"], places / "s.safetensors", config, [places / "new"])
        second = places / "s" / "generation-2"
        taught = np.stack([read_soft(second / "enhanced" / f"{index}.png") for index in range(10)])
        assert ((taught == 0) | (taught == 1)).all() == (share == 0)


def test_snap__is_the_mean_of_the_soft_mask_and_of_grabcut(tmp_path, draw_squares):
    photo = draw_squares(tmp_path, 1)[0]
    soft = np.full((16, 16), 0.3, np.float32)
    bright = read_image(photo.path).min(axis=2) > 140
    soft[resize_mask(bright.astype(np.uint8), 16, 16) > 0] = 0.7
    write_soft(tmp_path / "soft.png", soft)
    cut, mixed = snap(photo, tmp_path / "soft.png"), snap(photo, tmp_path / "soft.png", 0.25)
    assert set(np.unique(cut)) == {0, 1}
    whole = resize_soft(read_soft(tmp_path / "soft.png"), *cut.shape)
    np.testing.assert_allclose(mixed, 0.25 * whole + 0.75 * cut, atol=1e-6)


def test_find_first__folders_of_masks_belong_to_folders_of_frames_in_their_order(places):
    (places / "others" / "v").mkdir(parents=True)
    for index in (1, 2):
        (places / "others" / "v" / f"{index}.png").write_bytes((places / "frames" / "v" / "0.png").read_bytes())
    write_selection(places / "selection.csv", [2, 11])
    (places / "theirs").mkdir()
    (places / "theirs" / "masks" / "v").mkdir(parents=True)
    (places / "theirs" / "masks" / "v" / "1.png").write_bytes((places / "masks" / "v" / "0.png").read_bytes())
    found = find_first([places / "others", places / "frames"], [places / "theirs" / "masks", places / "masks"])
    told = [(example.photo.relative_to(places).as_posix(), example.mask.parent.parent) for example in found]
    assert told == [
        ("others/v/1.png", places / "theirs" / "masks"),
        ("frames/v/11.png", places / "masks"),
        ("frames/v/2.png", places / "masks"),
    ]
    with pytest.raises(ConfigError, match="one for each of the 1 given, in their order, found 2"):
        train_student(
            [places / "frames"], [places / "masks", places / "theirs"], places / "s.safetensors", changed(number=1)
        )


@pytest.mark.parametrize("where", ["masks/selection.csv", "selection.csv"])
def test_find_kept__as_the_teacher_selected(places, where):
    assert len(find_kept([places / "frames"], places / "masks")) == 12
    write_selection(places / where, [2, 11])
    assert [example.photo.stem for example in find_kept([places / "frames"], places / "masks")] == ["11", "2"]
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
    assert [example.photo.parent.parent.name for example in found] == ["more", "frames"]


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
        train_student([places / "frames"], [places / "masks"], places / "s.pt", CONFIG)
    with pytest.raises(ConfigError, match="2 generations need new photos"):
        train_student([places / "frames"], [places / "masks"], places / "s.safetensors", CONFIG)
    with pytest.raises(ConfigError, match="add --frames"):
        train_student([], [places / "masks"], places / "s.safetensors", changed(number=1))
    with pytest.raises(DataError, match="must hold soft masks as PNG"):
        train_student([places / "frames"], [places / "new" / "none"], places / "s.safetensors", changed(number=1))
    assert json.dumps(sorted(path.name for path in places.iterdir())) == '["frames", "masks", "new", "unused"]'
