import asyncio
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
from coarse2fine.serving import service, uploads
from coarse2fine.serving.app import create_app


def encode(image: np.ndarray, file_format: str = "PNG", **options) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format=file_format, **options)
    return content.getvalue()


def encode_png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes with this size in its header."""
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
        expected = small_segmenter.predict(image)
        response = client.post("/segment", content=encode(image))
        assert response.status_code == 200 and response.headers["content-type"] == "image/png"
        picture = Image.open(io.BytesIO(response.content))
        assert picture.mode == "P" and (np.asarray(picture) == expected).all()
        found = client.post("/segment?format=json", files={"photo": ("a.png", encode(image))}).json()
        assert (found["height"], found["width"]) == expected.shape
        assert [region["index"] for region in found["classes"]] == [i for i in (1, 2) if (expected == i).any()]
        for region in found["classes"]:
            read = coco.decode({"size": region["rle"]["size"], "counts": region["rle"]["counts"].encode()})
            assert (read == (expected == region["index"])).all() and region["area_px"] == read.sum()
            assert region["name"] == small_segmenter.classes[region["index"]]


@pytest.mark.slow
def test_segment__an_exported_network_gives_the_same_masks(client, small_onnx, clouds):
    with TestClient(create_app(OnnxSegmenter.load(small_onnx, "cpu", 1), ServeConfig(), 1)) as other:
        for image in clouds:
            photo = encode(image)
            assert other.post("/segment", content=photo).content == client.post("/segment", content=photo).content


def test_segment__a_rotated_jpeg_gives_an_upright_mask(client):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = encode(np.zeros((40, 60, 3), np.uint8), "JPEG", exif=exif)
    assert Image.open(io.BytesIO(client.post("/segment", content=photo).content)).size == (40, 60)


WHOLE = encode(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))


@pytest.mark.parametrize(
    "content, status, message",
    [
        (b"", 400, "The request must contain a photo, as its body or as the only file of a form."),
        (WHOLE[:500], 400, "The photo cannot be read: truncated after 500 bytes."),
        (WHOLE[:3000], 400, "The photo cannot be read: truncated after 3000 bytes."),
        (b"<html>", 415, "The photo cannot be read: not an image (supported: JPEG, PNG, WebP, BMP, TIFF, GIF)."),
        (b"\xff" * 1000, 415, "not an image"),
        (encode_png_header(30_000, 30_000), 413, "has 30000 x 30000 pixels (900 megapixels); send a smaller one."),
        (encode_png_header(800, 700), 413, "at most 0.5 megapixels"),
        (encode_png_header(80, 70), 400, "The photo cannot be read: truncated"),
        (bytes(200_001), 413, "A photo may have at most 0.2 MB; send a smaller one."),
    ],
)
@pytest.mark.parametrize("as_form", [False, True])
def test_segment__a_bad_photo_is_rejected(client, content, status, message, as_form):
    given = {"files": {"photo": ("a.png", content)}} if as_form else {"content": content}
    response = client.post("/segment", **given)
    assert response.status_code == status and list(response.json()) == ["error"]
    assert message in response.json()["error"]
    assert client.post("/segment", content=WHOLE).status_code == 200


def test_segment__a_large_upload_is_rejected_while_it_arrives(client, monkeypatch):
    monkeypatch.setattr(uploads, "_DRAIN_SECONDS", 0.01)
    response = client.post("/segment", content=(bytes(10_000) for _ in range(1000)))
    assert response.status_code == 413 and response.headers["connection"] == "close"


@pytest.mark.parametrize(
    "given, status, message",
    [
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400, "A form must contain a photo"),
        ({"content": b"a", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400, "photo"),
        ({"data": {"photo": "text"}, "files": {}}, 415, "not an image"),
        ({"files": [("a", ("a", WHOLE)), ("b", ("b", WHOLE))]}, 400, "Too many files"),
        ({"content": WHOLE, "headers": {"accept": "text/html"}}, 406, "response is image/png or application/json"),
        ({"content": WHOLE, "params": {"format": "gif"}}, 422, "'png' or 'json'"),
    ],
)
def test_segment__a_bad_request_is_rejected(client, given, status, message):
    response = client.post("/segment", **given)
    assert response.status_code == status and message in response.json()["error"]


def test_routes__an_unknown_route_lists_the_others(client):
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
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404  # they load scripts from a CDN


def test_health__reports_a_stopped_network(client):
    client.app.state.service._batcher.close()
    assert client.get("/health").status_code == 503


def test_metrics__count_responses_batches_and_seconds(client):
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
    assert samples[("coarse2fine_photos_in_progress",)] == 0
    assert samples[("process_resident_memory_bytes",)] > 1e6


def test_segment__simultaneous_photos_share_batches_up_to_the_limit(small_segmenter, monkeypatch):
    gate, started, sizes = threading.Event(), threading.Event(), []
    score = type(small_segmenter).probabilities_at_working_size

    def wait_and_score(self, views, shape):
        started.set()
        assert gate.wait(30)
        sizes.append(len(views))
        return score(self, views, shape)

    monkeypatch.setattr(type(small_segmenter), "probabilities_at_working_size", wait_and_score)
    config = ServeConfig(queue=5, batch=4, wait_ms=0)
    with TestClient(create_app(small_segmenter, config, 2)) as client, ThreadPoolExecutor(8) as pool:
        batcher, queued = client.app.state.service._batcher, threading.Semaphore(0)
        submit = batcher.submit

        def submit_and_count(*arguments):
            future = submit(*arguments)
            queued.release()
            return future

        monkeypatch.setattr(batcher, "submit", submit_and_count)
        waiting = [pool.submit(client.post, "/segment", content=WHOLE)]
        assert started.wait(30)  # the first photo is alone in its batch
        waiting += [pool.submit(client.post, "/segment", content=WHOLE) for _ in range(4)]
        for _ in range(5):
            assert queued.acquire(timeout=30)
        rejected = client.post("/segment", content=WHOLE)
        assert rejected.status_code == 503 and rejected.headers["retry-after"] == "1"
        assert rejected.json()["error"] == "Too many photos in progress (5); try again in a second."
        gate.set()
        masks = [future.result() for future in waiting]
        assert [response.status_code for response in masks] == [200] * 5
        assert len({response.content for response in masks}) == 1
        assert client.post("/segment", content=WHOLE).status_code == 200
    assert sizes == [1, 4, 1]


@pytest.mark.parametrize("min_seconds, statuses", [(0.0, {"slow": 503, "new": 200}), (60.0, {"slow": 408, "new": 503})])
def test_segment__too_many_uploads_end_the_oldest(small_segmenter, monkeypatch, min_seconds, statuses):
    monkeypatch.setattr(service, "_MIN_UPLOAD_SECONDS", min_seconds)
    found, uploading = {}, threading.Event()

    async def call(name: str, body: bytes | None) -> None:
        async def receive() -> dict[str, object]:
            uploading.set()
            return {"type": "http.request", "body": body} if body else await asyncio.Future()

        async def send(message: dict[str, object]) -> None:
            found.setdefault(name, message.get("status"))

        scope = {"type": "http", "method": "POST", "path": "/segment", "query_string": b"", "headers": []}
        await client.app(scope, receive, send)

    config = ServeConfig(uploads=1, upload_seconds=1)
    with TestClient(create_app(small_segmenter, config, 1)) as client:
        slow = client.portal.start_task_soon(call, "slow", None)
        assert uploading.wait(30)
        client.portal.call(call, "new", WHOLE)
        slow.result(30)
    assert found == statuses


def test_segment__an_unexpected_error_is_a_500_and_the_service_continues(small_segmenter, monkeypatch):
    def fail(self, views, shape):
        raise RuntimeError("secret")

    with TestClient(create_app(small_segmenter, ServeConfig(), 1), raise_server_exceptions=False) as client:
        with monkeypatch.context() as patch:
            patch.setattr(type(small_segmenter), "probabilities_at_working_size", fail)
            response = client.post("/segment", content=WHOLE)
            assert response.status_code == 500 and "secret" not in response.text
            assert "log of the server" in response.json()["error"]
        assert client.post("/segment", content=WHOLE).status_code == 200
