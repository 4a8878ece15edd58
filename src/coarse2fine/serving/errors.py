"""Errors of requests, and their responses: one sentence as JSON, ``{"error": "..."}``."""

import json
import logging
from collections.abc import Mapping

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from coarse2fine.errors import Coarse2FineError


class RequestError(Coarse2FineError):
    """A request that cannot be served.

    Args:
        status: HTTP status of the response, 400 or higher.
        message: What must hold, what was found, and how to fix it.
        headers: Additional headers of the response.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class ErrorResponse(BaseModel):
    """Body of every error response."""

    error: str


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a response with the body ``{"error": message}``; the first letter is capitalized."""
    body = ErrorResponse(error=message[:1].upper() + message[1:])
    return JSONResponse(body.model_dump(), status, headers)


def add_error_handlers(app: FastAPI, routes: str) -> None:
    """Respond to every error in an application with one sentence as JSON.

    Args:
        app: The application.
        routes: Sentence that lists the routes, for the responses 404 and 405.
    """

    @app.exception_handler(RequestError)
    async def handle_request_error(_request: Request, error: RequestError) -> JSONResponse:
        return error_response(error.status, error.message, error.headers)

    @app.exception_handler(RequestValidationError)
    async def handle_invalid_parameter(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return error_response(422, f"{first['loc'][-1]}: {first['msg']}, found {json.dumps(first['input'])}.")

    @app.exception_handler(HTTPException)
    async def handle_unknown_route(request: Request, error: HTTPException) -> JSONResponse:
        message = f"There is no route {request.method} {request.scope['path']} ({error.detail}). {routes}"
        return error_response(error.status_code, message, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def handle_disconnect(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        return error_response(400, "The client closed the connection before the upload was complete.")

    @app.exception_handler(Exception)
    async def handle_unexpected_error(_request: Request, error: Exception) -> JSONResponse:
        logging.getLogger("uvicorn.error").error("a request failed", exc_info=error)
        return error_response(500, "Internal error. The log of the server contains the details.")
