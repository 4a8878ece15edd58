"""HTTP routes of the review page: the page, photos and masks of the run, decisions, and the network."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Depends, FastAPI, Query
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coarse2fine.app.access import LOGIN_PATH, PAGE_PATH, AccessMiddleware, TokenAuthentication
from coarse2fine.app.images import (
    PAGE_SIDE_PX,
    apply_drawing,
    decode_drawn_mask,
    encode_photo,
    encode_thumbnail,
    hash_mask,
    page_size,
    read_page_photo,
)
from coarse2fine.app.network import RunNetwork
from coarse2fine.app.photo_list import PhotoFilter, PhotoList, ReviewState, SortOrder
from coarse2fine.app.smart_brush import SAME_CLASS, extend_stroke
from coarse2fine.app.undo import UndoHistory
from coarse2fine.corrections.review import ReviewDecision, Stage
from coarse2fine.data.photos import check_mask_header, read_size
from coarse2fine.errors import Coarse2FineError
from coarse2fine.masks.palette import overlay_hex_color
from coarse2fine.masks.png import encode_mask, read_mask
from coarse2fine.masks.resize import resize_mask
from coarse2fine.serving.errors import RequestError, add_error_handlers, error_response
from coarse2fine.serving.uploads import receive_body, receive_json
from coarse2fine.types import Mask, Photo

PAGE_FOLDER = Path(__file__).with_name("page")

_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

_ROUTES = "The page is at GET /."
_WRONG_TOKEN_DELAY_S = 0.5


class LoginRequest(BaseModel):
    """The authentication token that a person entered."""

    token: str


class UndoRequest(BaseModel):
    """The change to undo: the number that the server gave it."""

    change: int


class StrokeBox(BaseModel):
    """The part of a photo around a stroke, in pixels of the page, and how far the object is sought.

    Attributes:
        x: Left edge.
        y: Top edge.
        width: Width.
        height: Height.
        reach: Distance from the stroke, in pixels.
    """

    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    reach: Annotated[float, Field(gt=0, le=PAGE_SIDE_PX)]


class DecisionRequest(BaseModel):
    """A decision about a photo.

    Attributes:
        decision: The decision; None: delete the earlier one.
        stage: Stage of the mask that the page showed.
        fingerprint: Fingerprint of that mask; required to accept it.
    """

    decision: Literal["accepted", "rejected"] | None
    stage: Stage = ""
    fingerprint: Annotated[str, Field(max_length=64)] = ""


def create_app(photo_list: PhotoList, network: RunNetwork, authentication: TokenAuthentication, local: bool) -> FastAPI:
    """Create the application.

    Args:
        photo_list: Photos of the run.
        network: Network of the run.
        authentication: Checks the token.
        local: Whether the page listens on loopback only.
    """

    @asynccontextmanager
    async def close_network(_app: FastAPI) -> AsyncIterator[None]:
        yield
        network.close()

    app = FastAPI(lifespan=close_network, docs_url=None, redoc_url=None, openapi_url=None)
    _add_login_route(app, authentication, network.config.upload_seconds)
    _add_run_routes(app, photo_list, network)
    _add_photo_routes(app, photo_list)
    _add_decision_routes(app, photo_list, network.config.upload_seconds)
    _add_smart_brush_route(app, photo_list, network.config.upload_seconds)
    _add_page_route(app)
    add_error_handlers(app, _ROUTES)

    @app.exception_handler(Coarse2FineError)
    async def handle_error(_request: Request, error: Coarse2FineError) -> JSONResponse:
        return error_response(409, str(error))

    app.add_middleware(AccessMiddleware, authentication=authentication, local=local)
    return app


def _add_page_route(app: FastAPI) -> None:
    """Serve the files of the page from memory: a client that reads slowly must not hold an open file."""
    files = {path.name: path.read_bytes() for path in PAGE_FOLDER.iterdir() if path.suffix in _MEDIA_TYPES}

    @app.api_route("/", methods=["GET", "HEAD"])
    async def page() -> Response:
        return await page_file("index.html")

    @app.api_route(PAGE_PATH + "{name}", methods=["GET", "HEAD"])
    async def page_file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        return Response(files[name], media_type=_MEDIA_TYPES[Path(name).suffix])


def _add_login_route(app: FastAPI, authentication: TokenAuthentication, upload_seconds: float) -> None:
    @app.post(LOGIN_PATH)
    async def login(request: Request) -> Response:
        entered = await receive_json(request, LoginRequest, upload_seconds)
        if not authentication.is_correct(entered.token):
            await asyncio.sleep(_WRONG_TOKEN_DELAY_S)  # slows down guessing
            raise RequestError(401, "Wrong token; 'coarse2fine app' printed the token when it started.")
        response = Response(status_code=204)
        response.set_cookie(authentication.cookie_name, authentication.cookie_value, httponly=True, samesite="strict")
        return response


def _add_run_routes(app: FastAPI, photo_list: PhotoList, network: RunNetwork) -> None:
    @app.get("/api/run")
    def run() -> dict[str, Any]:
        colors = [overlay_hex_color(label) for label in range(256)]
        return {**photo_list.describe_run(), "colors": colors, "max_mb": network.config.max_mb}

    @app.post("/api/segment")
    async def segment(request: Request) -> Response:
        return await network.segment(request, lambda mask: _mask_response(mask, page_size(mask.shape[:2])))


def _parse_filter(
    class_name: Annotated[str | None, Query(alias="class")] = None,
    state: ReviewState | None = None,
    order: SortOrder = "gain",
) -> PhotoFilter:
    return PhotoFilter(class_name, state, order)


def _add_photo_routes(app: FastAPI, photo_list: PhotoList) -> None:
    @app.get("/api/photos")
    def photos(
        selection: Annotated[PhotoFilter, Depends(_parse_filter)], page: Annotated[int, Query(ge=1)] = 1
    ) -> dict[str, Any]:
        return photo_list.list_page(selection, page)

    @app.get("/api/photo")
    def photo(name: str, selection: Annotated[PhotoFilter, Depends(_parse_filter)]) -> dict[str, Any]:
        return photo_list.describe(_get_photo(photo_list, name), selection)

    @app.get("/api/image")
    def image(name: str) -> Response:
        content = encode_photo(_get_photo(photo_list, name).path)
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    @app.get("/api/thumbnail")
    def thumbnail(name: str) -> Response:
        photo = _get_photo(photo_list, name)
        stages = photo_list.list_stages(photo)
        content = encode_thumbnail(photo.path, photo_list.mask_path(photo, stages[-1]) if stages else None)
        return Response(content, media_type="image/jpeg")

    @app.get("/api/mask")
    def mask(name: str, stage: str) -> Response:
        photo = _get_photo(photo_list, name)
        path = _get_mask_path(photo_list, photo, stage)
        check_mask_header(path, photo.path)
        fingerprint = hash_mask(path)  # before the mask is read: if fit replaces it now, it counts as changed
        return _mask_response(read_mask(path), page_size(read_size(photo.path)), fingerprint)


def _add_decision_routes(app: FastAPI, photo_list: PhotoList, upload_seconds: float) -> None:
    history = UndoHistory(photo_list.review)

    @app.post("/api/decision")
    async def decide(request: Request, name: str) -> dict[str, Any]:
        entered = await receive_json(request, DecisionRequest, upload_seconds)
        photo = _get_photo(photo_list, name)
        return await run_in_threadpool(history.change, name, lambda: _decide(photo_list, photo, entered))

    @app.put("/api/mask")
    async def save_drawn_mask(request: Request, name: str, stage: Stage = "", fingerprint: str = "") -> dict[str, Any]:
        photo = _get_photo(photo_list, name)
        height, width = page_size(read_size(photo.path))
        limit = height * width
        too_large = f"A drawn mask may have {limit} bytes at most; reload the page."
        content = await receive_body(request, limit, too_large, upload_seconds)
        return await run_in_threadpool(
            history.change, name, lambda: _save_drawn_mask(photo_list, photo, content, stage, fingerprint)
        )

    @app.post("/api/undo")
    async def undo(request: Request) -> dict[str, Any]:
        entered = await receive_json(request, UndoRequest, upload_seconds)
        return {"name": await run_in_threadpool(history.undo, entered.change)}


def _decide(photo_list: PhotoList, photo: Photo, entered: DecisionRequest) -> ReviewDecision | None:
    if entered.decision is None:
        photo_list.review.take_back(photo.name)
        return None
    mask = None
    if entered.decision == "accepted":
        _get_mask_path(photo_list, photo, entered.stage)
        mask = photo_list.unchanged_mask_path(photo, entered.stage, entered.fingerprint).read_bytes()
    return photo_list.review.keep(photo.name, entered.decision, entered.stage, mask)


def _save_drawn_mask(
    photo_list: PhotoList, photo: Photo, content: bytes, stage: str, fingerprint: str
) -> ReviewDecision:
    full_size = read_size(photo.path)
    drawn = decode_drawn_mask(content, page_size(full_size), len(photo_list.dataset.classes))
    before: Mask = np.zeros(full_size, np.uint8)
    if stage:
        _get_mask_path(photo_list, photo, stage)
        path = photo_list.unchanged_mask_path(photo, stage, fingerprint)
        before = resize_mask(read_mask(path), *full_size)
    mask = encode_mask(apply_drawing(before, drawn))
    return photo_list.review.keep(photo.name, "fixed", stage, mask)


def _add_smart_brush_route(app: FastAPI, photo_list: PhotoList, upload_seconds: float) -> None:
    @app.post("/api/smart-brush")
    async def smart_brush(request: Request, name: str, box: Annotated[StrokeBox, Query()]) -> Response:
        photo = _get_photo(photo_list, name)
        height, width = page_size(read_size(photo.path))
        if box.x + box.width > width or box.y + box.height > height:
            raise RequestError(422, f"The stroke must lie in the photo of {width} x {height} pixels; reload the page.")
        limit = box.height * box.width
        content = await receive_body(request, limit, f"A stroke may have {limit} bytes at most.", upload_seconds)
        hints = decode_drawn_mask(content, (box.height, box.width), SAME_CLASS + 1)
        return await run_in_threadpool(_extend, photo, box, hints)


def _extend(photo: Photo, box: StrokeBox, hints: Mask) -> Response:
    rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    found = extend_stroke(read_page_photo(photo.path)[rows, columns], hints, box.reach)
    return _mask_response(found, (box.height, box.width))


def _get_photo(photo_list: PhotoList, name: str) -> Photo:
    """Return a photo by its name in the run, never by a path, so that no other file can be read."""
    try:
        return photo_list.get(name)
    except KeyError as error:
        raise RequestError(404, f"The run has no photo named '{name}'.") from error


def _get_mask_path(photo_list: PhotoList, photo: Photo, stage: str) -> Path:
    try:
        path = photo_list.mask_path(photo, stage)
    except KeyError as error:
        raise RequestError(404, f"There is no stage named '{stage}'.") from error
    if not path.exists():
        raise RequestError(
            404, f"'{photo.name}' has no mask of stage '{stage}' at the moment; fit may be writing it. Try again later."
        )
    return path


def _mask_response(mask: Mask, size: tuple[int, int], fingerprint: str = "") -> Response:
    """Return a mask at the size of the page: one byte per pixel, row by row, compressed."""
    content = gzip.compress(resize_mask(mask, *size).tobytes(), compresslevel=1)
    headers = {
        "Content-Encoding": "gzip",
        "X-Height": str(size[0]),
        "X-Width": str(size[1]),
        "X-Fingerprint": fingerprint,
    }
    return Response(content, media_type="application/octet-stream", headers=headers)
