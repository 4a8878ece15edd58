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
from coarse2fine.evaluation.evaluate import evaluate_pairs
from coarse2fine.evaluation.voc_submission import submit_masks, submit_network, voc_indices
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
    """Two pixels in five are rather class 1."""

    def forward(self, images: Tensor) -> Tensor:
        right = (torch.arange(images.shape[-1]) >= 0.6 * images.shape[-1]).float() - 0.5
        return torch.stack([-right, right]).reshape(1, 2, 1, -1).expand(len(images), 2, *images.shape[-2:])


def finds(name: str, network: nn.Module | None = None) -> TorchSegmenter:
    config = NetworkConfig(encoder="mobilenetv2_050", encoder_weights="none")
    segmenter = TorchSegmenter(
        network or OneEverywhere(), ("background", name), config, 64, flip=False, precision="fp32"
    )
    return segmenter.to("cpu")


def read_archive(path) -> dict[str, Image.Image]:
    with tarfile.open(path, "r:gz") as archive:
        return {
            member.name: Image.open(io.BytesIO(archive.extractfile(member).read())) for member in archive.getmembers()
        }


def masks_of(tmp_path, mask) -> object:
    write_mask(tmp_path / "masks" / "2008_000009.png", mask)
    return tmp_path / "masks"


def test_voc_indices__by_name():
    table = voc_indices(("background", "tv", "Airplane", "dining table"))
    assert table[:5].tolist() == [0, 20, 1, 11, 255]
    assert voc_indices(VOC_CLASSES)[:21].tolist() == list(range(21))


@pytest.mark.parametrize(
    "classes, message",
    [
        (("background", "tiger"), "'tiger' is not"),
        (("background", "tv", "monitor"), "two are tvmonitor"),
        (("cat", "dog"), "'cat' is not"),
        (("background", "cat", "background"), "'background' is not"),
    ],
)
def test_voc_indices__refuses_what_the_server_does_not_know(classes, message):
    with pytest.raises(DataError, match=message):
        voc_indices(classes)


def test_submit_masks__palette_pngs_with_indices_of_voc(voc_tree, tmp_path):
    mask = np.zeros((30, 40), np.uint8)
    mask[3:9], mask[10:20] = 1, 2
    folder, classes = masks_of(tmp_path, mask), ("background", "cat", "tv")
    assert submit_masks(folder, classes, voc_tree, tmp_path / "a.tgz", 2) == 1
    found = read_archive(tmp_path / "a.tgz")
    assert list(found) == [MEMBER]
    image = found[MEMBER]
    assert image.mode == "P" and image.getpalette()[24:27] == color_table()[8].tolist()
    assert np.array_equal(np.asarray(image), np.where(mask == 1, 8, np.where(mask == 2, 20, 0)))
    submit_masks(folder, classes, voc_tree, tmp_path / "b.tgz", 1)
    assert (tmp_path / "a.tgz").read_bytes() == (tmp_path / "b.tgz").read_bytes()


def test_submit_masks__indices_are_vocs_where_nothing_names_them(voc_tree, tmp_path):
    submit_masks(masks_of(tmp_path, np.full((30, 40), 13, np.uint8)), None, voc_tree, tmp_path / "a.tgz", 1)
    assert np.unique(np.asarray(read_archive(tmp_path / "a.tgz")[MEMBER])).tolist() == [13]


@pytest.mark.parametrize(
    "mask, message",
    [
        (np.zeros((40, 30), np.uint8), "must have the size of its photo, 40 x 30 pixels, but has 30 x 40"),
        (np.full((30, 40), 21, np.uint8), "indices of classes only, but holds 21"),
        (np.full((30, 40), 255, np.uint8), "but holds 255; the server takes no pixels to ignore"),
    ],
)
def test_submit_masks__refuses_what_the_server_would(voc_tree, tmp_path, mask, message):
    folder = masks_of(tmp_path, mask)
    with pytest.raises(DataError, match=message):
        submit_masks(folder, None, voc_tree, tmp_path / "a.tgz", 1)
    assert not (tmp_path / "a.tgz").exists()


def test_submit_masks__every_id_of_the_list(voc_tree, tmp_path):
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match=r"1 of 1 have none; the first is .*2008_000009\.png"):
        submit_masks(tmp_path / "masks", None, voc_tree, tmp_path / "a.tgz", 1)
    (voc_tree / "JPEGImages/2008_000009.jpg").unlink()
    with pytest.raises(DataError, match=r"2008_000009\.jpg; photos of test come from http.*after registration"):
        submit_masks(tmp_path / "masks", None, voc_tree, tmp_path / "a.tgz", 1)
    (voc_tree / "ImageSets/Segmentation/test.txt").unlink()
    with pytest.raises(DataError, match=r"test\.txt does not exist; .* train, val; it comes with the test photos"):
        submit_masks(tmp_path / "masks", None, voc_tree, tmp_path / "a.tgz", 1)


def test_submit_network__its_classes_by_name(voc_tree, tmp_path):
    assert submit_network(finds("Horse"), voc_tree, tmp_path / "a.tgz", 1) == 1
    image = read_archive(tmp_path / "a.tgz")[MEMBER]
    assert image.size == (40, 30) and np.unique(np.asarray(image)).tolist() == [VOC_CLASSES.index("horse")]


def test_submit_network__with_the_crf_of_the_run(voc_tree, tmp_path):
    image = np.full((30, 40, 3), (60, 90, 130), np.uint8)
    image[:, 20:] = (150, 110, 60)
    Image.fromarray(image).save(voc_tree / "JPEGImages/2008_000009.jpg", quality=95, subsampling=0)
    segmenter, edges = finds("cat", OneOnTheRight()), {}
    for on in (False, True):
        submit_network(segmenter.with_crf(on), voc_tree, tmp_path / "a.tgz", 1)
        edges[on] = (np.asarray(read_archive(tmp_path / "a.tgz")[MEMBER]) == 8).sum(axis=1)
    assert (abs(edges[False] - 16) <= 1).all() and (edges[True] == 20).all()


def test_evaluate_pairs__a_network_that_calls_the_class_otherwise(voc_tree):
    figures = evaluate_pairs(finds("TV"), open_public_dataset(voc_tree), 1).as_plain()
    assert figures["photos"] == 1
    assert figures["iou"] == {"background": 0.0, "TV": pytest.approx(100 / (29 * 40), abs=1e-5)}
