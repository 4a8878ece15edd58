"""The FastAPI application of the service: routes and their OpenAPI description."""

import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coarse2fine.config import ServeConfig
from coarse2fine.errors import Coarse2FineError
from coarse2fine.inference.load import load_model
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.runtime.device import Device
from coarse2fine.runtime.files import write_text
from coarse2fine.serving.errors import ErrorResponse, RequestError, add_error_handlers
from coarse2fine.serving.metrics import MULTIPROCESS_FOLDER
from coarse2fine.serving.responses import (
    EXAMPLE,
    MEDIA_TYPES,
    MaskFormat,
    MaskResponse,
    choose_format,
    encode_response,
)
from coarse2fine.serving.service import Service

WORKER_SETTINGS_VARIABLE = "COARSE2FINE_WORKER_SETTINGS"
"""Environment variable that passes `WorkerSettings` to worker processes, as JSON."""

START_FAILURE = "start-failure.txt"
"""File in the folder of the metrics, in which a worker process says why it could not start."""

_ROUTES = "The routes are POST /segment, GET /health, GET /metrics and GET /openapi.json."
_COUNTED_PATHS = ("/segment", "/health", "/metrics", "/openapi.json")

_FILE_SCHEMA = {"type": "string", "format": "binary"}
_REQUEST_BODY = {
    "required": True,
    "description": "A photo (JPEG, PNG, WebP, BMP, TIFF or GIF), as the body or as the only file of a form.",
    "content": {
        "image/*": {"schema": _FILE_SCHEMA},
        "application/octet-stream": {"schema": _FILE_SCHEMA},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"photo": _FILE_SCHEMA}, "required": ["photo"]}
        },
    },
}
_ERRORS = {
    400: "The request contains no photo, or the photo is truncated or damaged.",
    406: "The header Accept allows neither PNG nor JSON.",
    408: "The upload exceeded the timeout.",
    413: "The photo has too many bytes or pixels.",
    415: "The file is not a supported image.",
    422: "A query parameter is invalid.",
    503: "Too many simultaneous requests; try again after the seconds in the header Retry-After.",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": MaskResponse,
        "description": "The mask, at the size of the photo. PNG: a palette image; pixel values are class indices.",
        "content": {"image/png": {"schema": _FILE_SCHEMA}, "application/json": {"example": EXAMPLE}},
    },
    **{status: {"model": ErrorResponse, "description": description} for status, description in _ERRORS.items()},
}


class WorkerSettings(BaseModel):
    """What a worker process needs to create its application."""

    model: Path
    device: Device
    threads: int
    config: ServeConfig


class HealthResponse(BaseModel):
    """State of the service, and properties of its network."""

    status: str = Field(description="ok")
    version: str = Field(description="version of coarse2fine")
    classes: list[str] = Field(description="class names by index; the first is background")
    size_px: int = Field(description="longer side, in pixels, at which the network sees a photo")


def create_app_from_environment() -> FastAPI:
    """Create the application of a worker process from `WORKER_SETTINGS_VARIABLE`.

    If that fails, the main process ends, too. uvicorn would start one worker after the other, and each would fail.
    """
    settings = WorkerSettings.model_validate_json(os.environ[WORKER_SETTINGS_VARIABLE])
    try:
        segmenter = load_model(settings.model, settings.device, settings.threads)
    except Exception as error:
        reason = str(error) if isinstance(error, Coarse2FineError) else f"{type(error).__name__}: {error}"
        write_text(Path(os.environ[MULTIPROCESS_FOLDER]) / START_FAILURE, reason)
        main_process = multiprocessing.parent_process()
        if main_process is not None and main_process.pid is not None and main_process.is_alive():
            os.kill(main_process.pid, signal.SIGTERM)
        sys.exit(1)
    return create_app(segmenter, settings.config, settings.threads)


def create_app(segmenter: Segmenter, config: ServeConfig, threads: int) -> FastAPI:
    """Create the application.

    Args:
        segmenter: The network.
        config: Limits on requests.
        threads: Photos that are decoded, or masks that are encoded, at the same time.
    """

    @asynccontextmanager
    async def run_service(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = Service(segmenter, config, threads)
        yield
        app.state.service.close()

    app = FastAPI(
        title="coarse2fine",
        version=version("coarse2fine"),
        description=f"Segments photos. Classes: {', '.join(segmenter.classes[1:])}.",
        lifespan=run_service,
        docs_url=None,  # FastAPI's page loads a script from another site
        redoc_url=None,
    )
    _add_routes(app, segmenter)
    add_error_handlers(app, _ROUTES)
    app.add_middleware(_CountResponses)
    return app


def _add_routes(app: FastAPI, segmenter: Segmenter) -> None:
    @app.post(
        "/segment",
        responses=_RESPONSES,
        response_class=Response,
        openapi_extra={"requestBody": _REQUEST_BODY},
        summary="Segment a photo",
    )
    async def segment(
        request: Request,
        query: Annotated[
            MaskFormat | None,
            Query(alias="format", description="png or json; default: chosen by the header Accept, otherwise png"),
        ] = None,
    ) -> Response:
        """Return the mask of a photo as PNG or JSON."""
        chosen = choose_format(query, request.headers.get("accept", ""))
        service: Service = app.state.service
        with service.metrics.request_seconds.time():
            encode = partial(encode_response, mask_format=chosen, classes=segmenter.classes)
            content = await service.segment(request, encode)
        return Response(content, media_type=MEDIA_TYPES[chosen])

    @app.get("/health", responses={503: {"model": ErrorResponse}}, summary="Check the health of the service")
    async def health() -> HealthResponse:
        """Return the state of the service and the class names; 503 if the network is not running."""
        if not app.state.service.is_healthy():
            raise RequestError(503, "The thread of the network has stopped; restart the service.")
        return HealthResponse(
            status="ok", version=version("coarse2fine"), classes=list(segmenter.classes), size_px=segmenter.size_px
        )

    @app.get("/metrics", response_class=Response, summary="Get metrics")
    def metrics() -> Response:
        """Return metrics in the text format of Prometheus."""
        return Response(app.state.service.metrics.render(), media_type=CONTENT_TYPE_LATEST)


class _CountResponses:
    """Middleware that counts responses by route and status; unknown paths count as ``other``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def count_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope["path"] if scope["path"] in _COUNTED_PATHS else "other"
                scope["app"].state.service.metrics.requests.labels(route, str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, count_and_send if scope["type"] == "http" else send)
