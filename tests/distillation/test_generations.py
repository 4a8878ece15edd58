import csv
import json
import shutil

import numpy as np
import pytest
import torch

from coarse2fine.cli import main
from coarse2fine.coarse.student import Student
from coarse2fine.config import GenerationsConfig, StudentConfig, StudentNetworkConfig, StudentTrainConfig
from coarse2fine.data import read_image
from coarse2fine.distillation.examples import describe_examples, find_selected_examples, find_teacher_examples
from coarse2fine.distillation.generations import train_student
from coarse2fine.distillation.soft_masks import align_with_edges, weight_by_center
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.masks.png import read_soft, write_soft
from coarse2fine.masks.resize import resize_mask, resize_soft
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.files import read_json

pytestmark = pytest.mark.slow

EPOCHS = 50
CONFIG = StudentConfig(
    network=StudentNetworkConfig(shape="unet", width=0.2, input_px=32, view_px=32),
    train=StudentTrainConfig(
        batch=8,
        epochs=(EPOCHS,),
        resize_px=36,
        learning_rate=0.01,
        loader_workers=0,
        precision="fp32",
        checkpoint_photos=1000,
    ),
    generations=GenerationsConfig(number=2, keep_share=0.5),
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, draw_squares):
    """Frames with soft masks, and new photos without."""
    root = tmp_path_factory.mktemp("drawn")
    draw_squares(root / "frames" / "v", 12, root / "masks")
    draw_squares(root / "new", 10, root / "unused")
    return root


@pytest.fixture(scope="module")
def drawn_and_trained(drawn, tmp_path_factory):
    """The same with the folder ``s`` of a student, generation 1 of which is trained."""
    root = tmp_path_factory.mktemp("trained") / "places"
    shutil.copytree(drawn, root)
    train_student([root / "frames"], [root / "masks"], root / "s.safetensors", configure(number=1))
    return root


@pytest.fixture
def places(drawn, tmp_path):
    """A copy of ``drawn`` for one test."""
    return shutil.copytree(drawn, tmp_path / "places")


@pytest.fixture
def trained_places(drawn_and_trained, tmp_path):
    """A copy of ``drawn_and_trained`` for one test."""
    return shutil.copytree(drawn_and_trained, tmp_path / "places")


def write_selection(path, kept: list[int]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["video", "frame", "score", "kept"])
        table.writeheader()
        for index in range(12):
            table.writerow({"video": "v", "frame": f"v/{index}", "score": 0.5, "kept": int(index in kept)})


def configure(*later_epochs: int, **changes: object) -> StudentConfig:
    """Settings with other epochs of generations 2, 3, ..., and other settings of ``generations``."""
    train = CONFIG.train.model_copy(update={"epochs": (EPOCHS, *later_epochs)})
    return CONFIG.model_copy(update={"train": train, "generations": CONFIG.generations.model_copy(update=changes)})


def train(places, config: StudentConfig, **options: object) -> Student:
    photos = [places / "new"]
    return train_student([places / "frames"], [places / "masks"], places / "s.safetensors", config, photos, **options)


@pytest.mark.parametrize("selector, enhance", [("evalseg", True), ("mean", False), ("none", True)])
def test_train_student__two_generations_find_the_squares(trained_places, selector, enhance):
    student = train(trained_places, configure(selector=selector, enhance=enhance))
    photo = read_image(trained_places / "new" / "3.png")
    bright = photo.min(axis=2) > 140
    soft = student(photo)
    assert soft[bright].mean() > 0.5 > 0.3 > soft[~bright].mean()
    assert (Student.load(trained_places / "s.safetensors")(photo) == soft).all()
    second = trained_places / "s" / "generation-2"
    assert len(read_json(second / "selection" / "scores.json")) == 10
    assert read_json(second / "training" / "done.json")["photos"] == (10 if selector == "none" else 5)
    assert (second / "enhanced" / "3.png").exists() == enhance


def test_train_student__restores_the_random_state_of_the_process(trained_places):
    state = torch.random.get_rng_state()
    train(trained_places, configure(1))
    assert torch.equal(torch.random.get_rng_state(), state)


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
    assert "already done" not in first
    before = (places / "s.safetensors").read_bytes()
    assert train(0.5).count("already done") == first.count("generation")
    assert (places / "s.safetensors").read_bytes() == before
    again = train(0.8)
    assert "generation 1: training: already done" in again and "generation 2: GrabCut: already done" in again
    assert "generation 2: training: run again" in again


def test_train_student__another_generation_continues_from_the_last(trained_places):
    places = trained_places
    time = (places / "s" / "generation-1" / "student.safetensors").stat().st_mtime_ns
    train(places, configure(1))
    assert (places / "s" / "generation-1" / "student.safetensors").stat().st_mtime_ns == time
    assert (places / "s" / "generation-2" / "student.safetensors").exists()
    whole = (places / "s.safetensors").stat().st_size
    train(places, configure(1), half=True)
    assert (places / "s.safetensors").stat().st_size < 0.6 * whole
    soft = read_soft(places / "s" / "generation-2" / "soft" / "0.png")
    assert soft.shape == (16, 16) and np.ptp(soft) > 0


def count_examples(places, number: int) -> int:
    return read_json(places / "s" / f"generation-{number}" / "training" / "done.json")["photos"]


def test_train_student__keeps_examples_except_of_photos_with_a_new_mask(trained_places, capsys):
    """One of the 12 frames is also a new photo: only its new mask is used."""
    places = trained_places
    (places / "frames" / "v" / "3.png").rename(places / "new" / "old.png")
    (places / "frames" / "v" / "3.png").symlink_to(places / "new" / "old.png")
    train(places, configure(1, number=2, selector="none"))
    assert (count_examples(places, 1), count_examples(places, 2)) == (12, 11)
    config = configure(25, 1, number=3, selector="none", keep_examples=True)
    train(places, config, context=Context(console=Console()))
    again = capsys.readouterr().out
    assert "generation 1: training: already done" in again and "generation 2: GrabCut: already done" in again
    assert "generation 2: training: run again" in again
    assert (count_examples(places, 2), count_examples(places, 3)) == (11 + 11, 11 + 11)


def test_describe_examples__depends_on_the_content_of_the_masks(places):
    before = find_selected_examples([places / "frames"], places / "masks")
    first = describe_examples(before)
    assert describe_examples(find_selected_examples([places / "frames"], places / "masks")) == first
    (places / "masks" / "v" / "3.png").write_bytes((places / "masks" / "v" / "4.png").read_bytes())
    assert describe_examples(before) != first != describe_examples(before[1:])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_train_student__soft_share_keeps_values_between_zero_and_one(trained_places, share):
    train(trained_places, configure(1, selector="none", soft_share=share))
    second = trained_places / "s" / "generation-2"
    masks = np.stack([read_soft(second / "enhanced" / f"{index}.png") for index in range(10)])
    assert ((masks == 0) | (masks == 1)).all() == (share == 0)


def test_align_with_edges__is_the_mean_of_the_soft_mask_and_of_grabcut(tmp_path, draw_squares):
    photo = draw_squares(tmp_path, 1)[0]
    soft = np.full((16, 16), 0.3, np.float32)
    bright = read_image(photo.path).min(axis=2) > 140
    soft[resize_mask(bright.astype(np.uint8), 16, 16) > 0] = 0.7
    write_soft(tmp_path / "soft.png", soft)
    cut, mixed = (align_with_edges(photo, tmp_path / "soft.png", share) for share in (0.0, 0.25))
    assert set(np.unique(cut)) == {0, 1}
    whole = resize_soft(read_soft(tmp_path / "soft.png"), *cut.shape)
    np.testing.assert_allclose(mixed, 0.25 * whole + 0.75 * cut, atol=1e-6)


def test_find_teacher_examples__folders_of_masks_belong_to_folders_of_frames_in_their_order(places):
    (places / "others" / "v").mkdir(parents=True)
    for index in (1, 2):
        (places / "others" / "v" / f"{index}.png").write_bytes((places / "frames" / "v" / "0.png").read_bytes())
    write_selection(places / "selection.csv", [2, 11])
    (places / "theirs").mkdir()
    (places / "theirs" / "masks" / "v").mkdir(parents=True)
    (places / "theirs" / "masks" / "v" / "1.png").write_bytes((places / "masks" / "v" / "0.png").read_bytes())
    found = find_teacher_examples(
        [places / "others", places / "frames"], [places / "theirs" / "masks", places / "masks"]
    )
    relative = [(example.photo.relative_to(places).as_posix(), example.mask.parent.parent) for example in found]
    assert relative == [
        ("others/v/1.png", places / "theirs" / "masks"),
        ("frames/v/11.png", places / "masks"),
        ("frames/v/2.png", places / "masks"),
    ]
    with pytest.raises(ConfigError, match=r"equal to the number of folders of frames \(1\), found 2"):
        train_student(
            [places / "frames"], [places / "masks", places / "theirs"], places / "s.safetensors", configure(number=1)
        )


@pytest.mark.parametrize("where", ["masks/selection.csv", "selection.csv"])
def test_find_selected_examples__reads_the_selection_of_the_teacher(places, where):
    assert len(find_selected_examples([places / "frames"], places / "masks")) == 12
    write_selection(places / where, [2, 11])
    assert [example.photo.stem for example in find_selected_examples([places / "frames"], places / "masks")] == [
        "11",
        "2",
    ]
    write_selection(places / where, [])
    with pytest.raises(DataError, match="must keep at least one of the masks"):
        find_selected_examples([places / "frames"], places / "masks")


def test_find_selected_examples__frames_of_kept_masks_only_and_from_several_folders(places):
    (places / "frames" / "v" / "2.png").unlink()
    with pytest.raises(DataError, match=r"1 of 12 masks in .*have no frame in .*frames; the first is v/2.png"):
        find_selected_examples([places / "frames"], places / "masks")
    write_selection(places / "selection.csv", [5, 7])
    (places / "more" / "v").mkdir(parents=True)
    (places / "frames" / "v" / "5.png").rename(places / "more" / "v" / "5.jpg")
    found = find_selected_examples([places / "frames", places / "more"], places / "masks")
    assert [example.photo.parent.parent.name for example in found] == ["more", "frames"]


def test_main__student_must_be_followed_by_train(capsys):
    for arguments, found in ((["student"], "found nothing"), (["student", "tarin"], "found 'tarin'")):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2 and found in capsys.readouterr().err


def test_weight_by_center__moves_masks_to_the_center():
    flat = np.full((9, 9), 0.2, np.float32)
    assert (weight_by_center(flat, 0) == flat).all()
    weighted = weight_by_center(flat, 0.25)
    assert weighted[4, 4] == 1 and weighted[4, 0] == pytest.approx(np.exp(-((4 / 9) ** 2) / (2 * 0.25**2)))
    np.testing.assert_allclose(weighted, weighted[::-1, ::-1], rtol=1e-5)
    assert (weight_by_center(np.zeros((4, 4), np.float32), 0.3) == 0).all()


def test_train_student__reports_missing_arguments(places):
    with pytest.raises(ConfigError, match="must end in .safetensors"):
        train_student([places / "frames"], [places / "masks"], places / "s.pt", CONFIG)
    with pytest.raises(ConfigError, match="2 generations need new photos"):
        train_student([places / "frames"], [places / "masks"], places / "s.safetensors", CONFIG)
    with pytest.raises(ConfigError, match="add --frames"):
        train_student([], [places / "masks"], places / "s.safetensors", configure(number=1))
    one = StudentConfig(train=StudentTrainConfig(batch=1))
    with pytest.raises(ConfigError, match=r"train\.batch must be a multiple"):
        train_student([places / "gone"], [places / "masks"], places / "s.safetensors", one)
    with pytest.raises(DataError, match="must hold soft masks as PNG"):
        train_student([places / "frames"], [places / "new" / "none"], places / "s.safetensors", configure(number=1))
    assert json.dumps(sorted(path.name for path in places.iterdir())) == '["frames", "masks", "new", "unused"]'
