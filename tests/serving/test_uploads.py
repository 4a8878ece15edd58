import asyncio
import tempfile

import pytest
from starlette.requests import ClientDisconnect, Request

from coarse2fine.config import ServeConfig
from coarse2fine.serving import uploads
from coarse2fine.serving.errors import RequestError
from coarse2fine.serving.uploads import receive_photo


def receive(messages: list[dict], config: ServeConfig, content_type: str = "image/png") -> bytes:
    """Receive a photo from these ASGI messages; afterwards nothing arrives and the connection stays open."""
    queue = iter(messages)

    async def next_message() -> dict:
        message = next(queue, None)
        return message if message is not None else await asyncio.Future()

    request = Request(
        {"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}, next_message
    )
    return asyncio.run(receive_photo(request, config))


def chunk(body: bytes, more_body: bool = True) -> dict:
    return {"type": "http.request", "body": body, "more_body": more_body}


def test_receive_photo__joins_chunks():
    assert receive([chunk(b"ab"), chunk(b"c", more_body=False)], ServeConfig()) == b"abc"


def test_receive_photo__a_slow_upload_exceeds_the_timeout():
    with pytest.raises(RequestError, match="within 0.01 seconds") as caught:
        receive([chunk(b"slow")], ServeConfig(upload_seconds=0.01))
    assert caught.value.status == 408 and caught.value.headers == {"Connection": "close"}


def test_receive_photo__a_large_upload_stops_at_the_limit_and_the_rest_is_discarded(monkeypatch):
    monkeypatch.setattr(uploads, "_DRAIN_SECONDS", 0.01)
    messages = [chunk(bytes(1000))] * 5
    with pytest.raises(RequestError, match="at most 0.002 MB") as caught:
        receive(messages, ServeConfig(max_mb=0.002))
    assert caught.value.status == 413


def test_receive_photo__a_closed_connection():
    with pytest.raises(ClientDisconnect):
        receive([chunk(b"half"), {"type": "http.disconnect"}], ServeConfig())


def test_receive_photo__a_form_needs_no_temporary_file(monkeypatch, tmp_path):
    """Starlette writes files of more than a megabyte to a temporary folder, which a read-only system does not have."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    photo = bytes(3_000_000)
    form = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n' + photo + b"\r\n--x--\r\n"
    assert receive([chunk(form, more_body=False)], ServeConfig(), "multipart/form-data; boundary=x") == photo
