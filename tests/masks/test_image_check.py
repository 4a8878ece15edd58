import numpy as np
import pytest
import torch

import coarse2fine
from coarse2fine.config import StudentNetworkConfig
from coarse2fine.errors import DataError
from coarse2fine.networks.student import build_student

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
MASK = np.pad(np.ones((6, 8), np.uint8), ((3, 3), (4, 4)))
STUDENT_CONFIG = StudentNetworkConfig(width=0.1, input_px=32, view_px=32)

FUNCTIONS = {
    "grabcut": lambda image: coarse2fine.grabcut(image, MASK),
    "crf": lambda image: coarse2fine.dense_crf(np.full((2, 6, 8), 0.5, np.float32), image),
    "saliency": coarse2fine.saliency,
    "box": coarse2fine.centered_box,
    "overlay": lambda image: coarse2fine.overlay(image, MASK),
    "student": coarse2fine.Student(build_student(STUDENT_CONFIG), STUDENT_CONFIG).to(),
}

OTHERS = [
    ((IMAGE / 255).astype(np.float32), r"found float32 \(12, 16, 3\); convert values from 0 to 1"),
    (IMAGE.astype(np.uint16) * 257, r"found uint16 \(12, 16, 3\); convert 16 bits"),
    (IMAGE.astype(np.int64), "convert it to np.uint8"),
    (IMAGE[..., 0], r"found uint8 \(12, 16\); repeat gray"),
    (IMAGE[..., :1], "repeat gray"),
    (np.dstack([IMAGE, IMAGE[..., :1]]), "leave out the transparency"),
    (IMAGE.transpose(2, 0, 1), "put the channels last"),
    (IMAGE[:0], "it is empty"),
    ("photo.jpg", r"found str; read a file with coarse2fine\.read_image"),
    (torch.from_numpy(IMAGE), "found Tensor"),
    (np.ma.array(IMAGE), "found MaskedArray"),
]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("image", "message"), OTHERS)
@pytest.mark.fault("python-arrays")
def test_check_image__every_public_function_says_how_to_convert(name, image, message):
    with pytest.raises(
        DataError, match=rf"needs an 8-bit RGB image of shape \(H, W, 3\); .*{message.split('found ')[-1]}"
    ):
        FUNCTIONS[name](image)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_check_image__takes_views(name):
    FUNCTIONS[name](IMAGE[::-1, :, ::-1])


@pytest.mark.parametrize("mask", [MASK.astype(np.float32), MASK[..., None], "mask.png"])
def test_check_mask__soft_masks_and_other_shapes_are_refused(mask):
    for work in (coarse2fine.grabcut, coarse2fine.overlay):
        with pytest.raises(DataError, match="needs a mask of class indices, integers of shape"):
            work(IMAGE, mask)


@pytest.mark.parametrize("soft", [MASK * 255.0, np.full(MASK.shape, np.nan), MASK[..., None] * 0.5])
def test_grabcut__refuses_soft_masks_out_of_range(soft):
    with pytest.raises(DataError, match="soft mask of shape .* with values from 0 to 1"):
        coarse2fine.grabcut(IMAGE, MASK, "probabilities", soft)
