"""Reads the bodies of requests, such as photos and forms with a photo, with limits on size and time."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from coarse2fine.config import ServeConfig
from coarse2fine.serving.errors import RequestError

Model = TypeVar("Model", bound=BaseModel)

MAX_JSON_BYTES = 65_536

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
    too_large = f"A photo may have at most {config.max_mb:g} MB; send a smaller one."
    body = await receive_body(request, limit, too_large, config.upload_seconds)
    photo = await _extract_from_form(request, body) if is_form else body
    if not photo:
        raise RequestError(400, "The request must contain a photo, as its body or as the only file of a form.")
    if len(photo) > max_bytes:
        raise RequestError(413, too_large)
    return photo


async def receive_json(request: Request, model: type[Model], seconds: float) -> Model:
    """Receive a small JSON document.

    Args:
        request: Its body is the document.
        model: Type of the document.
        seconds: Timeout.

    Raises:
        RequestError: The document has more than `MAX_JSON_BYTES` (413), is too slow (408), or is not valid (422).
        ClientDisconnect: The client closed the connection.
    """
    too_large = f"The JSON of this request may have at most {MAX_JSON_BYTES} bytes."
    body = await receive_body(request, MAX_JSON_BYTES, too_large, seconds)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "The body of the request"
        raise RequestError(422, f"{where}: {first['msg']}.") from error


async def receive_body(request: Request, limit: int, too_large: str, seconds: float) -> bytes:
    """Receive the body of a request; stop as soon as it exceeds a limit.

    Args:
        request: The request.
        limit: Size in bytes, at most.
        too_large: Error message for a larger body.
        seconds: Timeout.

    Raises:
        RequestError: The body is too large (413) or too slow (408); the response closes the connection. Memory never
            holds much more than ``limit`` bytes.
        ClientDisconnect: The client closed the connection.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _receive_up_to(request, limit, too_large)
    except TimeoutError as error:
        raise RequestError(
            408,
            f"The body of a request must arrive within {seconds:g} seconds; send a smaller one, or use a faster "
            "connection.",
            CLOSE_CONNECTION,
        ) from error
    except RequestError:
        await discard_body(request, 2 * limit)
        raise


async def _receive_up_to(request: Request, limit: int, too_large: str) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise RequestError(413, too_large, CLOSE_CONNECTION)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            body.clear()  # the traceback of the error keeps this frame alive
            raise RequestError(413, too_large, CLOSE_CONNECTION)
    return bytes(body)


async def discard_body(request: Request, max_bytes: int) -> None:
    """Discard the rest of the body for a short time: many clients read the response only after they sent everything."""
    if "100-continue" in request.headers.get("expect", ""):
        return
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while max_bytes > 0 and (message := await request.receive()).get("more_body"):
                max_bytes -= len(message.get("body", b""))
    except TimeoutError:
        pass


class _InMemoryParser(MultiPartParser):
    """Keeps the file of a form in memory: the body is there already, and the file system may be read-only."""

    spool_max_size = sys.maxsize


async def _extract_from_form(request: Request, body: bytes) -> bytes:
    """Return the only file of a form; empty if the form has no file."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await _InMemoryParser(request.headers, stream(), max_files=1, max_fields=8).parse()
    except (MultiPartException, FormParserError) as error:  # older versions of Starlette raise both
        reason = error.message if isinstance(error, MultiPartException) else str(error)
        raise RequestError(
            400, f"A form must contain a photo as its only file, but it cannot be read: {reason}"
        ) from error
    files = [part for part in form.values() if isinstance(part, UploadFile)]
    return await files[0].read() if files else b""
