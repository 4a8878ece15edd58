"""Reads the photo from a request, from its body or from a form, with limits on size and time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from coarse2fine.config import ServeConfig
from coarse2fine.serving.errors import RequestError

FORM_OVERHEAD_BYTES = 16_384
"""Allowance for boundaries and headers of a form, in addition to the photo."""

CLOSE_CONNECTION = {"Connection": "close"}
"""Header of a response to a request whose body was not read to its end."""

_DRAIN_SECONDS = 1.0


async def receive_photo(request: Request, config: ServeConfig) -> bytes:
    """Receive the photo of a request.

    Args:
        request: Its body is a photo, or a form (``multipart/form-data``) with one file.
        config: Limits on size and time.

    Returns:
        Content of the image file.

    Raises:
        RequestError: The upload is too large (413), too slow (408), or contains no photo (400).
        ClientDisconnect: The client closed the connection.
    """
    max_bytes = round(config.max_mb * 1e6)
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    limit = max_bytes + (FORM_OVERHEAD_BYTES if is_form else 0)
    too_large = RequestError(
        413, f"A photo may have at most {config.max_mb:g} MB; send a smaller one.", CLOSE_CONNECTION
    )
    try:
        async with asyncio.timeout(config.upload_seconds):
            body = await receive_body(request, limit, too_large)
    except TimeoutError as error:
        raise RequestError(
            408,
            f"A photo must arrive within {config.upload_seconds:g} seconds; send a smaller one, or use a faster "
            "connection.",
            CLOSE_CONNECTION,
        ) from error
    except RequestError:
        await _drain(request, 2 * max_bytes)
        raise
    photo = await _extract_from_form(request, body) if is_form else body
    if not photo:
        raise RequestError(400, "The request must contain a photo, as its body or as the only file of a form.")
    if len(photo) > max_bytes:
        raise too_large
    return photo


async def receive_body(request: Request, limit: int, too_large: RequestError) -> bytes:
    """Receive the body of a request and stop as soon as it exceeds a limit.

    Args:
        request: The request.
        limit: Size in bytes, at most.
        too_large: Error to raise for a larger body; its response should close the connection.

    Raises:
        RequestError: ``too_large``; memory never holds much more than ``limit`` bytes.
        ClientDisconnect: The client closed the connection.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            body.clear()  # the traceback of the error keeps this frame alive
            raise too_large
    return bytes(body)


async def _drain(request: Request, max_bytes: int) -> None:
    """Discard the rest of the body for a short time: many clients read the response only after they sent everything."""
    if "100-continue" in request.headers.get("expect", ""):
        return
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while max_bytes > 0 and (message := await request.receive()).get("more_body"):
                max_bytes -= len(message.get("body", b""))
    except TimeoutError:
        pass


async def _extract_from_form(request: Request, body: bytes) -> bytes:
    """Return the only file of a form; empty if the form has no file."""
    received = Request(request.scope, _replay(body))
    try:
        async with received.form(max_files=1, max_fields=8) as form:
            files = [part for part in form.values() if isinstance(part, UploadFile)]
            return await files[0].read() if files else b""
    except (HTTPException, ClientDisconnect) as error:
        reason = getattr(error, "detail", "") or "it is damaged"
        raise RequestError(
            400, f"A form must contain a photo as its only file, but it cannot be read: {reason}"
        ) from error


def _replay(body: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
