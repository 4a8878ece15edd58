import numpy as np
import pytest
from pycocotools import mask as coco

from coarse2fine.serving.request_error import RefusalError
from coarse2fine.serving.responses import EXAMPLE, Answer, choose_form, describe_mask


def test_describe_mask__regions_read_back_pixel_for_pixel():
    mask = np.random.default_rng(0).integers(0, 4, (37, 53)).astype(np.uint8)
    mask[mask == 2] = 0
    answer = describe_mask(mask, ("background", "a", "b", "c"))
    assert [(region.index, region.name) for region in answer.classes] == [(1, "a"), (3, "c")]
    for region in answer.classes:
        read = coco.decode({"size": list(region.rle.size), "counts": region.rle.counts.encode()})
        assert (read == (mask == region.index)).all()
        assert region.area_px == (mask == region.index).sum()
        assert region.share == pytest.approx(region.area_px / mask.size, abs=1e-4)


def test_describe_mask__nothing_found():
    assert describe_mask(np.zeros((2, 3), np.uint8), ("background", "a")).model_dump() == {
        "height": 2,
        "width": 3,
        "classes": [],
    }


def test_example__is_an_answer_that_reads_back():
    region = Answer.model_validate(EXAMPLE).classes[0]
    read = coco.decode({"size": list(region.rle.size), "counts": region.rle.counts.encode()})
    assert read.shape == (4, 3) and read.sum() == region.area_px


@pytest.mark.parametrize(
    "asked, accept, form",
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
def test_choose_form__the_query_then_the_header(asked, accept, form):
    assert choose_form(asked, accept) == form


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "image/png;q=x"])
def test_choose_form__neither(accept):
    with pytest.raises(RefusalError) as caught:
        choose_form(None, accept)
    assert caught.value.status == 406 and accept in caught.value.sentence
