from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from coarse2fine.data.synthetic import CLASSES, _place_train, draw_dataset, draw_photo
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.masks.palette import color_table


def _read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shapes")
    draw_dataset(out, seed=3, train_per_class=2, val_photos=4, size_px=64)
    return out


def test_classes__background_then_sorted_names():
    assert CLASSES[0] == "background"
    assert len(CLASSES) >= 6
    assert list(CLASSES[1:]) == sorted(set(CLASSES[1:]))


def test_draw_dataset__lays_out_photos_masks_and_names(drawn):
    train = {f"{name}/{index:04d}" for name in CLASSES[1:] for index in range(2)}
    val = {f"{index:04d}" for index in range(4)}
    expected = {f"train/{name}.jpg" for name in train} | {f"train_masks/{name}.png" for name in train}
    expected |= {f"val/images/{name}.jpg" for name in val} | {f"val/masks/{name}.png" for name in val}
    assert set(_read_all(drawn)) == expected | {"classes.txt"}
    assert (drawn / "classes.txt").read_text().split() == list(CLASSES)


def test_draw_dataset__photos_are_rgb_of_the_size(drawn):
    with PIL.Image.open(drawn / "val/images/0000.jpg") as photo:
        assert (photo.mode, photo.size) == ("RGB", (64, 64))
        assert np.asarray(photo).std() > 15


def test_draw_dataset__masks_are_palette_png_with_their_label(drawn):
    for label, name in enumerate(CLASSES[1:], start=1):
        with PIL.Image.open(drawn / f"train_masks/{name}/0001.png") as image:
            mask = np.asarray(image)
            assert image.mode == "P"
            palette = np.array(image.getpalette()).reshape(-1, 3)
        assert mask.shape == (64, 64)
        assert {0, label} <= set(np.unique(mask).tolist()) <= set(range(len(CLASSES)))
        assert (palette[label] == color_table()[label]).all()


def test_draw_dataset__val_photos_hold_several_classes(drawn):
    for path in (drawn / "val/masks").iterdir():
        with PIL.Image.open(path) as image:
            assert len(np.unique(np.asarray(image))) >= 3


def test_draw_dataset__same_seed_same_bytes_other_seed_other_photos(drawn, tmp_path):
    draw_dataset(tmp_path / "same", seed=3, train_per_class=2, val_photos=4, size_px=64)
    draw_dataset(tmp_path / "other", seed=4, train_per_class=2, val_photos=4, size_px=64)
    first, same, other = _read_all(drawn), _read_all(tmp_path / "same"), _read_all(tmp_path / "other")
    assert first == same
    assert all(first[name] != other[name] for name in first if name.endswith(".jpg"))


def test_draw_dataset__more_photos_keep_the_first_ones(drawn, tmp_path):
    draw_dataset(tmp_path, seed=3, train_per_class=1, val_photos=1, size_px=64)
    assert _read_all(tmp_path).items() <= _read_all(drawn).items()


def test_draw_dataset__fewer_classes_are_the_first_ones_everywhere(tmp_path):
    draw_dataset(tmp_path, train_per_class=9, val_photos=9, size_px=32, classes=3)
    assert (tmp_path / "classes.txt").read_text().split() == list(CLASSES[:4])
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == list(CLASSES[1:4])
    masks = [np.asarray(PIL.Image.open(path)) for path in tmp_path.rglob("*.png")]
    assert len(masks) == 36 and set(np.unique(masks)) == {0, 1, 2, 3}


@pytest.mark.parametrize("classes", [2, 7])
def test_draw_dataset__number_of_classes_is_checked(tmp_path, classes):
    with pytest.raises(ConfigError, match=f"3 to 6 classes; found classes = {classes}"):
        draw_dataset(tmp_path, classes=classes)


def test_draw_dataset__foreign_photo_is_refused(tmp_path):
    (tmp_path / "train" / "robin").mkdir(parents=True)
    (tmp_path / "train" / "robin" / "mine.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 other files such as .*mine\.jpg"):
        draw_dataset(tmp_path, train_per_class=1, val_photos=1, size_px=32)
    assert not (tmp_path / "classes.txt").exists()


@pytest.mark.parametrize("wrong", [{"train_per_class": 0}, {"val_photos": 0}, {"size_px": 31}, {"seed": -1}])
def test_draw_dataset__too_small_is_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} = {next(iter(wrong.values()))}"):
        draw_dataset(tmp_path, **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("label", range(1, len(CLASSES)))
def test_draw_photo__object_has_its_size_and_place(label):
    masks = [draw_photo(np.random.default_rng(seed), [(label, 0.3, 0.6, 0.4)], 96)[1] for seed in range(8)]
    assert all(set(np.unique(mask)) == {0, label} for mask in masks)
    share = np.mean([mask > 0 for mask in masks])
    y, x = np.mean([np.argwhere(mask).mean(axis=0) for mask in masks], axis=0) / 96
    assert np.sqrt(share) == pytest.approx(0.3, abs=0.045)
    assert (x, y) == pytest.approx((0.6, 0.4), abs=0.06)


def test_draw_photo__later_place_lies_on_top_and_border_cuts():
    places = [(1, 0.5, 0.5, 0.5), (3, 0.2, 0.5, 0.5), (2, 0.3, 0.0, 0.0)]
    _, mask = draw_photo(np.random.default_rng(0), places, 96)
    assert mask[48, 48] == 3
    assert set(np.unique(mask)) == {0, 1, 2, 3}


def test_place_train__label_is_central_and_a_quarter_have_a_smaller_second():
    drawn = [_place_train(np.random.default_rng(seed), 2, 6) for seed in range(600)]
    assert np.mean([len(places) == 2 for places in drawn]) == pytest.approx(0.25, abs=0.06)
    for *others, (label, size, x, y) in drawn:
        assert label == 2
        assert 0.2 <= x <= 0.8 and 0.2 <= y <= 0.8
        assert all(other != 2 and other_size < size for other, other_size, _, _ in others)


@pytest.mark.slow
def test_draw_dataset__grabcut_improves_the_centered_box_but_is_not_perfect(tmp_path):
    draw_dataset(tmp_path, train_per_class=4, val_photos=1)
    before, after = [], []
    cv2.setRNGSeed(0)
    for label, name in enumerate(CLASSES[1:], start=1):
        for path in sorted((tmp_path / "train" / name).iterdir()):
            with (
                PIL.Image.open(path) as photo,
                PIL.Image.open(tmp_path / f"train_masks/{name}/{path.stem}.png") as mask,
            ):
                truth, image = np.asarray(mask) == label, np.array(photo)
            state = np.zeros(truth.shape, np.uint8)
            state[13:115, 13:115] = cv2.GC_PR_FGD
            before.append(_iou(state > 0, truth))
            cv2.grabCut(image, state, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
            after.append(_iou(state == cv2.GC_PR_FGD, truth))
    assert 0.25 < np.mean(before) < 0.4
    assert 0.55 < np.mean(after) < 0.85


def _iou(found, truth):
    return (found & truth).sum() / (found | truth).sum()
