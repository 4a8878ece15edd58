import io
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from coarse2fine.data import read_image, remote_photos
from coarse2fine.data.remote_photos import fetch_photo, is_remote
from coarse2fine.errors import DataError
from coarse2fine.inference.predict import predict_photos
from coarse2fine.masks.png import read_mask
from coarse2fine.runtime.files import read_json


def encode() -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (40, 30), (250, 0, 0)).save(encoded, format="PNG")
    return encoded.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        moved = {"/moved": "/cat.png", "/ftp": "ftp://127.0.0.1/cat.png", "/file": "file:///etc/passwd"}
        self.send_response(302 if self.path in moved else 404 if self.path == "/gone" else 200)
        if self.path in moved:
            self.send_header("Location", moved[self.path])
        content = b"" if self.path == "/empty" else encode()
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["/cat.png", "/moved", "/a%2F..%2F..%2Fx.png?a=1", "/"])
def test_fetch_photo__address(address, tmp_path, path):
    found = fetch_photo(address + path, tmp_path / "in")
    assert found.parent == tmp_path / "in" and read_image(found).shape == (30, 40, 3)


@pytest.mark.parametrize(
    "path, what",
    [("/gone", "Not Found"), ("/empty", "must have content"), ("/ftp", "redirects"), ("/file", "not allowed")],
)
def test_fetch_photo__wrong_answers_are_one_sentence(address, tmp_path, path, what):
    with pytest.raises(DataError, match=what):
        fetch_photo(address + path, tmp_path / "in")
    assert not list(tmp_path.rglob("*.*"))


def test_fetch_photo__limits(address, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_photos, "MAX_BYTES", 20)
    with pytest.raises(DataError, match="at most 20 bytes, but .*cat.png has more"):
        fetch_photo(f"{address}/cat.png", tmp_path)
    for other in ("file:///etc/passwd", "ftp://127.0.0.1/cat.png", "data://x"):
        assert is_remote(other)
        with pytest.raises(DataError, match="must begin with http:// or https://"):
            fetch_photo(other, tmp_path)
    assert not list(tmp_path.iterdir())


def test_predict_photos__standard_input_and_address(address, color_segmenter, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode())))
    assert predict_photos(color_segmenter(), ["-", f"{address}/cat.png"], tmp_path / "out") == []
    names = read_json(tmp_path / "out" / "photos.json")
    assert len(names) == 2 and "stdin" in names
    assert all(np.all(read_mask(tmp_path / "out" / "masks" / f"{name}.png") == 1) for name in names)
