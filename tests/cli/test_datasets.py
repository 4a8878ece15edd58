"""The commands for public data sets, from the command line."""

from pathlib import Path

import numpy as np
import pytest

from coarse2fine.cli import main
from coarse2fine.data import open_dataset
from coarse2fine.data.imagenet import read_synsets
from coarse2fine.masks.png import read_mask, write_mask
from coarse2fine.runtime.files import read_json


def fails(*arguments: str | Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert caught.value.code == 2


@pytest.fixture
def imagenet(tmp_path) -> Path:
    for one in read_synsets("sub2"):
        folder = tmp_path / "imagenet" / "train" / one.synset
        folder.mkdir(parents=True)
        for index in range(3):
            (folder / f"{one.synset}_{index}.JPEG").touch()
    return tmp_path / "imagenet"


def test_imagenet_subset__links_and_table_hold_the_same_photos(imagenet, tmp_path, capsys):
    main(["imagenet-subset", "--imagenet", str(imagenet), "--out", str(tmp_path / "out"), "--total", "60"])
    told = capsys.readouterr()
    assert "60 photos of 20 classes" in told.out and "fewer than the 732 photos" in told.err
    main(["imagenet-subset", "--imagenet", str(imagenet), "--out", str(imagenet / "t.csv"), "--total", "60"])
    links, table = open_dataset(tmp_path / "out"), open_dataset(imagenet / "t.csv")
    assert links.classes == table.classes and len(links.classes) == 21
    assert {photo.path.resolve() for photo in links.photos} == {photo.path.resolve() for photo in table.photos}
    assert not links.skipped and not table.skipped


def test_imagenet_subset__bad_input_is_one_sentence(imagenet, tmp_path, capsys):
    where = ("imagenet-subset", "--imagenet", imagenet, "--out", tmp_path / "out")
    fails(*where, "--list", "sub1")
    assert "does not exist; get https://image-net.org" in capsys.readouterr().err
    fails(*where, "--total", "9", "--per-class", "9")
    assert "not both" in capsys.readouterr().err
    fails(*where, "--per-class", "0")
    assert "must be at least 1" in capsys.readouterr().err
    fails("imagenet-subset", "--imagenet", tmp_path / "gone", "--out", tmp_path / "out")
    assert "must contain one folder of photos per synset" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_voc_labels__a_table_that_fit_reads(voc_tree, capsys):
    main(["voc-labels", "--voc", str(voc_tree.parent), "--out", str(voc_tree / "train.csv")])
    assert "2 of the 2 photos of train" in capsys.readouterr().out
    data = open_dataset(voc_tree / "train.csv")
    assert data.classes == ("background", "cat") and len(data.photos) == 2
    fails("voc-labels", "--voc", voc_tree, "--out", voc_tree / "t.csv", "--list", "trainaug")
    assert "SBD" in capsys.readouterr().err


def test_evaluate__masks_against_voc(voc_tree, tmp_path, capsys):
    mask = read_mask(voc_tree / "SegmentationClass/2007_000003.png")
    write_mask(tmp_path / "out" / "2007_000003.png", np.where(mask == 255, 0, mask).astype(np.uint8))
    main(["evaluate", str(tmp_path / "out"), str(voc_tree)])
    figures = read_json(tmp_path / "out" / "metrics.json")
    assert figures["mean_iou"] == 1.0 and figures["iou"]["tvmonitor"] == 1.0
    assert figures["iou"]["cat"] is None
    fails("evaluate", tmp_path / "out", voc_tree / "ImageSets/Segmentation/test.txt")
    assert "ground-truth masks of test are not public" in capsys.readouterr().err


def test_evaluate__a_public_data_set_needs_no_photos(voc_tree, tmp_path, capsys):
    fails("evaluate", tmp_path, voc_tree, "--photos", tmp_path)
    assert "has its own photos" in capsys.readouterr().err


def test_voc_submission__from_masks(voc_tree, tmp_path, capsys):
    write_mask(tmp_path / "masks" / "2008_000009.png", np.zeros((30, 40), np.uint8))
    main(["voc-submission", str(tmp_path / "masks"), "--voc", str(voc_tree), "--out", str(tmp_path / "r.tgz")])
    assert "1 masks" in capsys.readouterr().out and (tmp_path / "r.tgz").exists()
    fails("voc-submission", tmp_path / "none", "--voc", voc_tree, "--out", tmp_path / "r.tgz")
    assert "1 of 1 have none" in capsys.readouterr().err
    fails("voc-submission", tmp_path / "masks", "--voc", voc_tree, "--out", tmp_path / "s.tgz", "--crf")
    assert "is a folder of masks; leave out --crf" in capsys.readouterr().err and not (tmp_path / "s.tgz").exists()
