"""The photo of a request: as its body or as a file of a form, of bounded size, within bounded time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from coarse2fine.config import ServeConfig
from coarse2fine.serving.request_error import RefusalError

FORM_BYTES = 16_384
"""What the borders and headers of a form may take beside the photo in it."""

_CLOSE = {"Connection": "close"}  # of a request whose body was not read to its end
_LINGER_SECONDS = 1.0


async def read_photo(request: Request, config: ServeConfig) -> bytes:
    """Receive a photo, counting its bytes as they come.

    Args:
        request: Its body is a photo, or a form (``multipart/form-data``) with one file.
        config: Its limits.

    Raises:
        RefusalError: It is too large, too slow, or there is none.
        ClientDisconnect: The sender went away.
    """
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    limit = round(config.max_mb * 1e6) + (FORM_BYTES if is_form else 0)
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        await _too_large(request, config)
    try:
        async with asyncio.timeout(config.upload_seconds):
            body = await _collect(request, limit, config)
    except TimeoutError as error:
        raise RefusalError(
            408, f"A photo must arrive within {config.upload_seconds:g} seconds; send it faster, or smaller.", _CLOSE
        ) from error
    photo = await _take_from_form(request, body) if is_form else body
    if not photo:
        raise RefusalError(400, "A photo must be sent as the body, or as the one file of a form, but none was.")
    if len(photo) > config.max_mb * 1e6:
        raise _size_refusal(config)
    return photo


async def _collect(request: Request, limit: int, config: ServeConfig) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            body.clear()
            await _too_large(request, config)
    return bytes(body)


def _size_refusal(config: ServeConfig) -> RefusalError:
    return RefusalError(413, f"A photo may have at most {config.max_mb:g} MB; send a smaller one.", _CLOSE)


async def _too_large(request: Request, config: ServeConfig) -> None:
    """Refuse; what still comes is thrown away for a moment, since many clients listen only when they have sent all."""
    if "100-continue" not in request.headers.get("expect", ""):
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                left = 2 * config.max_mb * 1e6
                while left > 0 and (message := await request.receive()).get("more_body"):
                    left -= len(message.get("body", b""))
        except TimeoutError:
            pass
    raise _size_refusal(config)


async def _take_from_form(request: Request, body: bytes) -> bytes:
    """The one file of a form that has arrived."""
    arrived = Request(request.scope, _replay(body))
    try:
        async with arrived.form(max_files=1, max_fields=8) as form:
            files = [part for part in form.values() if isinstance(part, UploadFile)]
            return await files[0].read() if files else b""
    except (HTTPException, ClientDisconnect) as error:
        reason = getattr(error, "detail", "") or "it is damaged"
        raise RefusalError(400, f"A form must hold a photo as its one file, but cannot be read: {reason}") from error


def _replay(body: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
