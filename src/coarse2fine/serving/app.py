"""The routes of the service, and what is said when something is wrong."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coarse2fine.config import ServeConfig
from coarse2fine.inference.load import load_model
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.runtime.device import Device
from coarse2fine.serving.error_responses import add_explanations
from coarse2fine.serving.request_error import RefusalError
from coarse2fine.serving.responses import EXAMPLE, Answer, Form, choose_form
from coarse2fine.serving.service import Service

ORDER = "COARSE2FINE_SERVE"
"""Environment variable in which workers find what to serve."""

_MEDIA = {"png": "image/png", "json": "application/json"}
_COUNTED = ("/segment", "/health", "/metrics", "/docs", "/openapi.json")
_ROUTES = "POST a photo to /segment; GET /health, /metrics, /docs and /openapi.json"


class Order(BaseModel):
    """What a worker is to serve."""

    model: Path
    device: Device
    threads: int
    config: ServeConfig


class Health(BaseModel):
    """How the service is, and what it finds."""

    status: str
    version: str
    classes: list[str]
    size_px: int


class Problem(BaseModel):
    """What is wrong, in one sentence."""

    error: str


_PHOTO = {"schema": {"type": "string", "format": "binary"}}
_REQUEST_BODY = {
    "required": True,
    "description": "A photo (JPEG, PNG, WebP, BMP, TIFF or GIF), as the body or as the one file of a form.",
    "content": {
        "image/*": _PHOTO,
        "application/octet-stream": _PHOTO,
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"photo": _PHOTO["schema"]}, "required": ["photo"]}
        },
    },
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Answer,
        "description": "The mask, as large as the photo. PNG: a palette picture whose pixels are class indices.",
        "content": {"image/png": _PHOTO, "application/json": {"example": EXAMPLE}},
    },
    **{
        status: {"model": Problem, "description": what}
        for status, what in {
            400: "No photo, or a damaged one.",
            406: "Neither PNG nor JSON is accepted.",
            408: "The photo came too slowly.",
            413: "Too many bytes or pixels.",
            415: "Not a photo.",
            422: "A bad query.",
            503: "Too many photos at once; try again after Retry-After seconds.",
        }.items()
    },
}


def app_from_environment() -> FastAPI:
    """The application that a worker serves; `ORDER` says which."""
    order = Order.model_validate_json(os.environ[ORDER])
    return create_app(load_model(order.model, order.device, order.threads), order.config, order.threads)


def create_app(scorer: Segmenter, config: ServeConfig, threads: int) -> FastAPI:
    """Make the application.

    Args:
        scorer: The network.
        config: Its limits.
        threads: Photos decoded and masks written at the same time.
    """

    @asynccontextmanager
    async def serving(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = Service(scorer, config, threads)
        yield
        app.state.service.close()

    app = FastAPI(
        title="coarse2fine",
        version=version("coarse2fine"),
        description=f"Finds, in any photo: {', '.join(scorer.classes[1:])}.",
        lifespan=serving,
        redoc_url=None,
    )
    _add_routes(app, scorer)
    add_explanations(app, _ROUTES)
    app.add_middleware(_CountAnswers)
    return app


def _add_routes(app: FastAPI, scorer: Segmenter) -> None:
    @app.post(
        "/segment",
        responses=_RESPONSES,
        response_class=Response,
        openapi_extra={"requestBody": _REQUEST_BODY},
        summary="A photo in, its mask out",
    )
    async def segment(
        request: Request,
        form: Annotated[
            Form | None,
            Query(alias="format", description="png or json; default: what the header Accept likes best, else png"),
        ] = None,
    ) -> Response:
        chosen = choose_form(form, request.headers.get("accept", ""))
        service: Service = app.state.service
        with service.metrics.request_seconds.time():
            content = await service.answer(request, chosen)
        return Response(content, media_type=_MEDIA[chosen])

    @app.get("/health", responses={503: {"model": Problem}}, summary="Is it well, and what does it find?")
    async def health() -> Health:
        if not app.state.service.is_well():
            raise RefusalError(503, "The thread of the network has ended; start the service again.")
        return Health(status="ok", version=version("coarse2fine"), classes=list(scorer.classes), size_px=scorer.size_px)

    @app.get("/metrics", response_class=Response, summary="Counters, as Prometheus reads them")
    def metrics() -> Response:
        return Response(app.state.service.metrics.show(), media_type=CONTENT_TYPE_LATEST)


class _CountAnswers:
    """Counts every answer by its route and status."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope["path"] if scope["path"] in _COUNTED else "other"
                scope["app"].state.service.metrics.requests.labels(route, str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, count if scope["type"] == "http" else send)
