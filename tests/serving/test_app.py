import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from pycocotools import mask as coco
from starlette.testclient import TestClient

from coarse2fine.config import ServeConfig
from coarse2fine.inference.onnx_segmenter import OnnxSegmenter
from coarse2fine.serving.app import create_app


def as_file(image: np.ndarray, form: str = "PNG", **options) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format=form, **options)
    return content.getvalue()


def claim_size(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def client(small_segmenter):
    config = ServeConfig(max_mb=0.2, max_megapixels=0.5, queue=8, uploads=16)
    with TestClient(create_app(small_segmenter, config, 1)) as client:
        yield client


def test_segment__png_and_json_are_the_segmenters_mask(client, small_segmenter, clouds):
    for image in clouds:
        wanted = small_segmenter.predict(image)
        answer = client.post("/segment", content=as_file(image))
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
        picture = Image.open(io.BytesIO(answer.content))
        assert picture.mode == "P" and (np.asarray(picture) == wanted).all()
        found = client.post("/segment?format=json", files={"photo": ("a.png", as_file(image))}).json()
        assert (found["height"], found["width"]) == wanted.shape
        assert [region["index"] for region in found["classes"]] == [i for i in (1, 2) if (wanted == i).any()]
        for region in found["classes"]:
            read = coco.decode({"size": region["rle"]["size"], "counts": region["rle"]["counts"].encode()})
            assert (read == (wanted == region["index"])).all() and region["area_px"] == read.sum()
            assert region["name"] == small_segmenter.classes[region["index"]]


def test_segment__an_exported_network_answers_the_same(client, small_onnx, clouds):
    with TestClient(create_app(OnnxSegmenter.load(small_onnx, "cpu", 1), ServeConfig(), 1)) as other:
        for image in clouds:
            photo = as_file(image)
            assert other.post("/segment", content=photo).content == client.post("/segment", content=photo).content


def test_segment__a_turned_jpeg_comes_back_upright(client):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = as_file(np.zeros((40, 60, 3), np.uint8), "JPEG", exif=exif)
    assert Image.open(io.BytesIO(client.post("/segment", content=photo).content)).size == (40, 60)


WHOLE = as_file(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))


@pytest.mark.parametrize(
    "content, status, sentence",
    [
        (b"", 400, "A photo must be sent as the body, or as the one file of a form, but none was."),
        (WHOLE[:500], 400, "The photo cannot be read: truncated after 500 bytes."),
        (WHOLE[:3000], 400, "The photo cannot be read: truncated after 3000 bytes."),
        (b"<html>", 415, "The photo cannot be read: not an image (supported: JPEG, PNG, WebP, BMP, TIFF, GIF)."),
        (b"\xff" * 1000, 415, "not an image"),
        (claim_size(30_000, 30_000), 413, "has 30000 x 30000 pixels (900 megapixels); send a smaller one."),
        (claim_size(800, 700), 413, "at most 0.5 megapixels"),
        (claim_size(80, 70), 400, "The photo cannot be read: truncated"),
        (bytes(200_001), 413, "A photo may have at most 0.2 MB; send a smaller one."),
    ],
)
@pytest.mark.parametrize("as_form", [False, True])
def test_segment__a_bad_photo_is_one_sentence(client, content, status, sentence, as_form):
    given = {"files": {"photo": ("a.png", content)}} if as_form else {"content": content}
    answer = client.post("/segment", **given)
    assert answer.status_code == status and list(answer.json()) == ["error"]
    assert sentence in answer.json()["error"]
    assert client.post("/segment", content=WHOLE).status_code == 200


def test_segment__bytes_are_counted_while_they_come(client):
    taken = []

    def pieces():
        for index in range(1000):
            taken.append(index)
            yield bytes(10_000)

    answer = client.post("/segment", content=pieces())
    assert answer.status_code == 413 and answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "given, status, sentence",
    [
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400, "A form must hold a photo"),
        ({"content": b"a", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400, "photo"),
        ({"data": {"photo": "text"}, "files": {}}, 415, "not an image"),
        ({"files": [("a", ("a", WHOLE)), ("b", ("b", WHOLE))]}, 400, "Too many files"),
        ({"content": WHOLE, "headers": {"accept": "text/html"}}, 406, "comes as image/png or application/json"),
        ({"content": WHOLE, "params": {"format": "gif"}}, 422, "'png' or 'json'"),
    ],
)
def test_segment__a_bad_request_is_one_sentence(client, given, status, sentence):
    answer = client.post("/segment", **given)
    assert answer.status_code == status and sentence in answer.json()["error"]


def test_routes__unknown_ones_name_the_others(client):
    assert client.get("/nothing").status_code == 404 and "/segment" in client.get("/nothing").json()["error"]
    assert client.get("/segment").status_code == 405 and client.get("/segment").headers["allow"] == "POST"


def test_health_and_openapi(client, small_segmenter):
    health = client.get("/health").json()
    assert health["status"] == "ok" and health["classes"] == list(small_segmenter.classes)
    schema = client.get("/openapi.json").json()
    post = schema["paths"]["/segment"]["post"]
    assert set(post["responses"]) == {"200", "400", "406", "408", "413", "415", "422", "503"}
    assert post["responses"]["200"]["content"]["application/json"]["example"]["classes"][0]["name"] == "cat"
    assert "multipart/form-data" in post["requestBody"]["content"]
    assert client.get("/docs").status_code == 200


def test_health__says_when_the_network_has_ended(client):
    client.app.state.service._batcher.close()
    assert client.get("/health").status_code == 503


def test_metrics__count_answers_batches_and_time(client):
    for content in (WHOLE, WHOLE, b"text"):
        client.post("/segment", content=content)
    client.get("/elsewhere")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert samples["coarse2fine_requests_total", "/segment", "200"] == 2
    assert samples["coarse2fine_requests_total", "/segment", "415"] == 1
    assert samples["coarse2fine_requests_total", "other", "404"] == 1
    assert samples[("coarse2fine_batch_photos_sum",)] == 2
    assert samples[("coarse2fine_request_seconds_count",)] == 3
    assert samples[("coarse2fine_photos_in_hand",)] == 0
    assert samples[("process_resident_memory_bytes",)] > 1e6


def test_segment__concurrent_photos_share_batches_and_too_many_are_told_so(small_segmenter, monkeypatch):
    gate, begun, sizes = threading.Event(), threading.Event(), []
    score = type(small_segmenter).probabilities_at_working_size

    def score_later(self, views, shape):
        begun.set()
        assert gate.wait(30)
        sizes.append(len(views))
        return score(self, views, shape)

    monkeypatch.setattr(type(small_segmenter), "probabilities_at_working_size", score_later)
    config = ServeConfig(queue=5, batch=4, wait_ms=0)
    with TestClient(create_app(small_segmenter, config, 2)) as client, ThreadPoolExecutor(8) as pool:
        service = client.app.state.service
        waiting = [pool.submit(client.post, "/segment", content=WHOLE)]
        assert begun.wait(30)  # the first is alone in its batch
        waiting += [pool.submit(client.post, "/segment", content=WHOLE) for _ in range(4)]
        while service._in_hand < 5 or len(service._batcher._jobs) < 4:
            threading.Event().wait(0.01)
        refused = client.post("/segment", content=WHOLE)
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        assert refused.json()["error"] == "5 photos are in hand, the most that may be; try again in a second."
        gate.set()
        masks = [future.result() for future in waiting]
        assert [answer.status_code for answer in masks] == [200] * 5
        assert len({answer.content for answer in masks}) == 1
        assert client.post("/segment", content=WHOLE).status_code == 200
    assert sizes == [1, 4, 1]


def test_segment__a_failure_of_ours_is_a_500_and_no_more(small_segmenter, monkeypatch):
    def fail(self, views, shape):
        raise RuntimeError("secret")

    with TestClient(create_app(small_segmenter, ServeConfig(), 1), raise_server_exceptions=False) as client:
        with monkeypatch.context() as patch:
            patch.setattr(type(small_segmenter), "probabilities_at_working_size", fail)
            answer = client.post("/segment", content=WHOLE)
            assert answer.status_code == 500 and "secret" not in answer.text
            assert "the service's log tells what" in answer.json()["error"]
        assert client.post("/segment", content=WHOLE).status_code == 200
