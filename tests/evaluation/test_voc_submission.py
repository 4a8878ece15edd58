import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from coarse2fine.config import NetworkConfig
from coarse2fine.data.public_datasets import open_public_dataset
from coarse2fine.data.voc import VOC_CLASSES
from coarse2fine.errors import DataError
from coarse2fine.evaluation.evaluate import evaluate_network_pairs
from coarse2fine.evaluation.voc_submission import build_voc_table, write_mask_submission, write_network_submission
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.png import write_mask

MEMBER = "results/VOC2012/Segmentation/comp6_test_cls/2008_000009.png"


class OneEverywhere(nn.Module):
    """Every pixel is class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([images[:, 0] * 0, images[:, 0] * 0 + 9], dim=1)


class OneOnTheRight(OneEverywhere):
    """The right two fifths of the pixels are class 1."""

    def forward(self, images: Tensor) -> Tensor:
        right = (torch.arange(images.shape[-1]) >= 0.6 * images.shape[-1]).float() - 0.5
        return torch.stack([-right, right]).reshape(1, 2, 1, -1).expand(len(images), 2, *images.shape[-2:])


def make_segmenter(name: str, network: nn.Module | None = None) -> TorchSegmenter:
    config = NetworkConfig(encoder="mobilenetv2_050", encoder_weights="none")
    segmenter = TorchSegmenter(
        network or OneEverywhere(), ("background", name), config, 64, flip=False, precision="fp32"
    )
    return segmenter.to(torch.device("cpu"))


def read_archive(path) -> dict[str, Image.Image]:
    with tarfile.open(path, "r:gz") as archive:
        return {
            member.name: Image.open(io.BytesIO(archive.extractfile(member).read())) for member in archive.getmembers()
        }


def masks_of(tmp_path, mask) -> object:
    write_mask(tmp_path / "masks" / "2008_000009.png", mask)
    return tmp_path / "masks"


def test_build_voc_table__by_name():
    table = build_voc_table(("background", "tv", "Airplane", "dining table"))
    assert table[:5].tolist() == [0, 20, 1, 11, 255]
    assert build_voc_table(VOC_CLASSES)[:21].tolist() == list(range(21))


@pytest.mark.parametrize(
    "classes, message",
    [
        (("background", "tiger"), "'tiger' is not"),
        (("background", "tv", "monitor"), "two class names mean tvmonitor"),
        (("cat", "dog"), "'cat' is not"),
        (("background", "cat", "background"), "'background' is not"),
    ],
)
def test_build_voc_table__rejects_classes_that_the_server_does_not_know(classes, message):
    with pytest.raises(DataError, match=message):
        build_voc_table(classes)


def test_write_mask_submission__palette_pngs_with_indices_of_voc(voc_tree, tmp_path):
    mask = np.zeros((30, 40), np.uint8)
    mask[3:9], mask[10:20] = 1, 2
    folder, classes = masks_of(tmp_path, mask), ("background", "cat", "tv")
    assert write_mask_submission(folder, classes, voc_tree, tmp_path / "a.tgz", 2) == 1
    found = read_archive(tmp_path / "a.tgz")
    assert list(found) == [MEMBER]
    image = found[MEMBER]
    assert image.mode == "P" and image.getpalette()[24:27] == color_table()[8].tolist()
    assert np.array_equal(np.asarray(image), np.where(mask == 1, 8, np.where(mask == 2, 20, 0)))
    write_mask_submission(folder, classes, voc_tree, tmp_path / "b.tgz", 1)
    assert (tmp_path / "a.tgz").read_bytes() == (tmp_path / "b.tgz").read_bytes()


def test_write_mask_submission__without_class_names_the_indices_are_those_of_voc(voc_tree, tmp_path):
    write_mask_submission(masks_of(tmp_path, np.full((30, 40), 13, np.uint8)), None, voc_tree, tmp_path / "a.tgz", 1)
    assert np.unique(np.asarray(read_archive(tmp_path / "a.tgz")[MEMBER])).tolist() == [13]


@pytest.mark.parametrize(
    "mask, message",
    [
        (np.zeros((40, 30), np.uint8), "must have the size of its photo, 40 x 30 pixels, but has 30 x 40"),
        (np.full((30, 40), 21, np.uint8), "class indices only, but holds 21"),
        (np.full((30, 40), 255, np.uint8), "but holds 255; the server accepts no ignored pixels"),
    ],
)
def test_write_mask_submission__rejects_what_the_server_would_reject(voc_tree, tmp_path, mask, message):
    folder = masks_of(tmp_path, mask)
    with pytest.raises(DataError, match=message):
        write_mask_submission(folder, None, voc_tree, tmp_path / "a.tgz", 1)
    assert not (tmp_path / "a.tgz").exists()


def test_write_mask_submission__every_id_of_the_list(voc_tree, tmp_path):
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match=r"1 of 1 have none; the first is .*2008_000009\.png"):
        write_mask_submission(tmp_path / "masks", None, voc_tree, tmp_path / "a.tgz", 1)
    (voc_tree / "JPEGImages/2008_000009.jpg").unlink()
    with pytest.raises(DataError, match=r"2008_000009\.jpg; photos of test come from http.*after registration"):
        write_mask_submission(tmp_path / "masks", None, voc_tree, tmp_path / "a.tgz", 1)
    (voc_tree / "ImageSets/Segmentation/test.txt").unlink()
    with pytest.raises(DataError, match=r"test\.txt does not exist; .* train, val; it comes with the test photos"):
        write_mask_submission(tmp_path / "masks", None, voc_tree, tmp_path / "a.tgz", 1)


def test_write_network_submission__its_classes_by_name(voc_tree, tmp_path):
    assert write_network_submission(make_segmenter("Horse"), voc_tree, tmp_path / "a.tgz", 1) == 1
    image = read_archive(tmp_path / "a.tgz")[MEMBER]
    assert image.size == (40, 30) and np.unique(np.asarray(image)).tolist() == [VOC_CLASSES.index("horse")]


def test_write_network_submission__with_the_crf_of_the_run(voc_tree, tmp_path):
    image = np.full((30, 40, 3), (60, 90, 130), np.uint8)
    image[:, 20:] = (150, 110, 60)
    Image.fromarray(image).save(voc_tree / "JPEGImages/2008_000009.jpg", quality=95, subsampling=0)
    segmenter, edges = make_segmenter("cat", OneOnTheRight()), {}
    for on in (False, True):
        write_network_submission(segmenter.with_crf(on), voc_tree, tmp_path / "a.tgz", 1)
        edges[on] = (np.asarray(read_archive(tmp_path / "a.tgz")[MEMBER]) == 8).sum(axis=1)
    assert (abs(edges[False] - 16) <= 1).all() and (edges[True] == 20).all()


def test_evaluate_network_pairs__a_network_with_another_spelling_of_the_class(voc_tree):
    figures = evaluate_network_pairs(make_segmenter("TV"), open_public_dataset(voc_tree), 1).as_dict()
    assert figures["photos"] == 1
    assert figures["iou"] == {"background": 0.0, "TV": pytest.approx(100 / (29 * 40), abs=1e-5)}
