import numpy as np
import pytest
from pycocotools import mask as coco

from coarse2fine.serving.errors import RequestError
from coarse2fine.serving.responses import EXAMPLE, MaskResponse, choose_format, describe_mask


def test_describe_mask__regions_read_back_pixel_for_pixel():
    mask = np.random.default_rng(0).integers(0, 4, (37, 53)).astype(np.uint8)
    mask[mask == 2] = 0
    response = describe_mask(mask, ("background", "a", "b", "c"))
    assert [(region.index, region.name) for region in response.classes] == [(1, "a"), (3, "c")]
    for region in response.classes:
        read = coco.decode({"size": list(region.rle.size), "counts": region.rle.counts.encode()})
        assert (read == (mask == region.index)).all()
        assert region.area_px == (mask == region.index).sum()
        assert region.share == pytest.approx(region.area_px / mask.size, abs=1e-4)


def test_describe_mask__no_class():
    assert describe_mask(np.zeros((2, 3), np.uint8), ("background", "a")).model_dump() == {
        "height": 2,
        "width": 3,
        "classes": [],
    }


def test_example__is_a_valid_response():
    region = MaskResponse.model_validate(EXAMPLE).classes[0]
    read = coco.decode({"size": list(region.rle.size), "counts": region.rle.counts.encode()})
    assert read.shape == (4, 3) and read.sum() == region.area_px


@pytest.mark.parametrize(
    "query, accept, expected",
    [
        (None, "", "png"),
        (None, "*/*", "png"),
        (None, "application/json", "json"),
        (None, "text/html, application/json;q=0.9, image/png;q=0.8", "json"),
        (None, "application/json;q=0.1, image/*", "png"),
        (None, "application/json, */*;q=0.5", "json"),
        ("json", "image/png", "json"),
        ("png", "text/html", "png"),
    ],
)
def test_choose_format__the_query_before_the_header(query, accept, expected):
    assert choose_format(query, accept) == expected


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "image/png;q=x"])
def test_choose_format__neither_is_accepted(accept):
    with pytest.raises(RequestError) as caught:
        choose_format(None, accept)
    assert caught.value.status == 406 and accept in caught.value.message
