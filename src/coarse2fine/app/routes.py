"""What may be asked: the page, photos and masks of the run, decisions, and the classes of a photo that is sent."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Depends, FastAPI, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from coarse2fine.app.access import ENTER, Door, Guard
from coarse2fine.app.images import VIEW_PX, check_drawn, draw_picture, draw_thumb, fingerprint, fit_size, lay_drawn
from coarse2fine.app.network import Finder
from coarse2fine.app.photo_list import Choice, Gallery, Order, State, describe_palette
from coarse2fine.data.photos import read_size
from coarse2fine.errors import Coarse2FineError
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.png import encode_mask, read_mask
from coarse2fine.masks.resize import resize_mask
from coarse2fine.serving.error_responses import add_explanations, problem
from coarse2fine.serving.request_error import RefusalError
from coarse2fine.types import Mask, Photo

PAGE = Path(__file__).with_name("page")
_ROUTES = "GET / is the page"
_WRONG_TOKEN_SECONDS = 0.5


class Token(BaseModel):
    """What lets people in."""

    token: str


class Wish(BaseModel):
    """A decision about a photo, or none to take it back.

    Attributes:
        decision: What to do with its mask.
        stage: Whose mask the person saw.
        seen: Its fingerprint; needed to accept it.
    """

    decision: Literal["accepted", "rejected"] | None
    stage: str = ""
    seen: str = ""


def create_app(gallery: Gallery, finder: Finder, door: Door, local: bool) -> FastAPI:
    """Make the application.

    Args:
        gallery: The run.
        finder: Its network.
        door: The token.
        local: Whether only this machine is listened to.
    """

    @asynccontextmanager
    async def serving(_app: FastAPI) -> AsyncIterator[None]:
        yield
        finder.close()

    app = FastAPI(lifespan=serving, docs_url=None, redoc_url=None, openapi_url=None)
    _add_door(app, door)
    _add_run(app, gallery, finder)
    _add_photos(app, gallery)
    _add_decisions(app, gallery)
    _add_page(app)
    add_explanations(app, _ROUTES)

    @app.exception_handler(Coarse2FineError)
    async def explain(_request: Request, error: Coarse2FineError) -> JSONResponse:
        return problem(409, str(error))

    app.add_middleware(Guard, door=door, local=local)
    return app


def _add_page(app: FastAPI) -> None:
    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/page", StaticFiles(directory=PAGE))


def _add_door(app: FastAPI, door: Door) -> None:
    @app.post(ENTER)
    async def enter(given: Token) -> Response:
        if not door.opens(given.token):
            await asyncio.sleep(_WRONG_TOKEN_SECONDS)
            raise RefusalError(401, "That is not the token; 'coarse2fine app' printed it when it started.")
        answer = Response(status_code=204)
        answer.set_cookie(door.cookie, door.pass_text, httponly=True, samesite="strict")
        return answer


def _add_run(app: FastAPI, gallery: Gallery, finder: Finder) -> None:
    @app.get("/api/run")
    def run() -> dict[str, Any]:
        colors = describe_palette(color_table().tolist())
        return {**gallery.describe_run(), "colors": colors, "max_mb": finder.config.max_mb}

    @app.post("/api/found")
    async def found(request: Request) -> Response:
        return await finder.find(request, lambda mask: _answer_mask(mask, fit_size(mask.shape[:2], VIEW_PX), ""))


def _choose(
    class_name: Annotated[str | None, Query(alias="class")] = None,
    state: State | None = None,
    order: Order = "doubtful",
) -> Choice:
    return Choice(class_name, state, order)


def _add_photos(app: FastAPI, gallery: Gallery) -> None:
    @app.get("/api/photos")
    def photos(choice: Annotated[Choice, Depends(_choose)], page: Annotated[int, Query(ge=1)] = 1) -> dict[str, Any]:
        return gallery.list_page(choice, page)

    @app.get("/api/photo")
    def photo(name: str, choice: Annotated[Choice, Depends(_choose)]) -> dict[str, Any]:
        return gallery.describe(_find(gallery, name), choice)

    @app.get("/api/picture")
    def picture(name: str) -> Response:
        content = draw_picture(_find(gallery, name).path)
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    @app.get("/api/thumb")
    def thumb(name: str) -> Response:
        one = _find(gallery, name)
        stages = gallery.list_stages(one)
        content = draw_thumb(one.path, gallery.mask(one, stages[-1]) if stages else None)
        return Response(content, media_type="image/jpeg")

    @app.get("/api/mask")
    def mask(name: str, stage: str) -> Response:
        one = _find(gallery, name)
        path = _find_mask(gallery, one, stage)
        seen = fingerprint(path)
        return _answer_mask(read_mask(path), fit_size(read_size(one.path), VIEW_PX), seen)


def _add_decisions(app: FastAPI, gallery: Gallery) -> None:
    @app.post("/api/decision")
    def decide(name: str, wish: Wish) -> dict[str, Any]:
        photo = _find(gallery, name)
        if wish.decision is None:
            gallery.review.take_back(name)
            return {"decided": None}
        mask = None
        if wish.decision == "accepted":
            _find_mask(gallery, photo, wish.stage)
            mask = gallery.seen_mask(photo, wish.stage, wish.seen).read_bytes()
        return {"decided": gallery.review.keep(name, wish.decision, wish.stage, mask).model_dump()}

    @app.put("/api/mask")
    async def fix(request: Request, name: str, stage: str = "", seen: str = "") -> dict[str, Any]:
        photo = _find(gallery, name)
        size = fit_size(read_size(photo.path), VIEW_PX)
        content = await _receive(request, size[0] * size[1])
        return await run_in_threadpool(_keep_drawn, gallery, photo, content, stage, seen)


def _keep_drawn(gallery: Gallery, photo: Photo, content: bytes, stage: str, seen: str) -> dict[str, Any]:
    full = read_size(photo.path)
    drawn = check_drawn(content, fit_size(full, VIEW_PX), len(gallery.dataset.classes))
    before: Mask = np.zeros(full, np.uint8)
    if stage:
        _find_mask(gallery, photo, stage)
        before = resize_mask(read_mask(gallery.seen_mask(photo, stage, seen)), *full)
    mask = encode_mask(lay_drawn(before, drawn))
    return {"decided": gallery.review.keep(photo.name, "fixed", stage, mask).model_dump()}


def _find(gallery: Gallery, name: str) -> Photo:
    """A photo by its name in the run's list; nothing else of the disk can be asked for."""
    try:
        return gallery.find(name)
    except KeyError as error:
        raise RefusalError(404, f"The run has no photo called '{name}'.") from error


def _find_mask(gallery: Gallery, photo: Photo, stage: str) -> Path:
    try:
        path = gallery.mask(photo, stage)
    except KeyError as error:
        raise RefusalError(404, f"There is no stage called '{stage}'.") from error
    if not path.exists():
        raise RefusalError(404, f"'{photo.name}' has no mask of '{stage}' at the moment; fit may be making it.")
    return path


def _answer_mask(mask: Mask, size: tuple[int, int], seen: str) -> Response:
    """One byte per pixel, row by row, at the size of the page."""
    raw = gzip.compress(resize_mask(mask, *size).tobytes(), compresslevel=1)
    headers = {"Content-Encoding": "gzip", "X-Height": str(size[0]), "X-Width": str(size[1]), "X-Seen": seen}
    return Response(raw, media_type="application/octet-stream", headers=headers)


async def _receive(request: Request, limit: int) -> bytes:
    """The body of a request, counted while it comes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise RefusalError(
                413, f"A drawn mask may have {limit} bytes at most; load the page again.", {"Connection": "close"}
            )
    return bytes(body)
