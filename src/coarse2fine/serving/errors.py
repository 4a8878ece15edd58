"""What is said when something is wrong: one sentence, as JSON."""

import json
import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from coarse2fine.serving.request_error import RefusalError


def add_explanations(app: FastAPI, routes: str) -> None:
    """Have an application answer whatever goes wrong in one sentence, as JSON.

    Args:
        app: The application.
        routes: What it serves, for those who ask for something else.
    """

    @app.exception_handler(RefusalError)
    async def refuse(_request: Request, refusal: RefusalError) -> JSONResponse:
        return problem(refusal.status, refusal.sentence, refusal.headers)

    @app.exception_handler(RequestValidationError)
    async def explain_query(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(422, f"{first['loc'][-1]}: {first['msg']}, found {json.dumps(first['input'])}.")

    @app.exception_handler(HTTPException)
    async def explain_route(request: Request, error: HTTPException) -> JSONResponse:
        what = f"{request.method} {request.url.path} is not served here ({error.detail}). {routes}."
        return problem(error.status_code, what, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def note_absence(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        return problem(400, "The sender went away before the photo had arrived.")

    @app.exception_handler(Exception)
    async def apologise(_request: Request, error: Exception) -> JSONResponse:
        logging.getLogger("uvicorn.error").error("a request failed", exc_info=error)
        return problem(500, "Something failed here that should not have; the service's log tells what.")


def problem(status: int, sentence: str, headers: Any = None) -> JSONResponse:
    """A refusal as JSON: ``{"error": sentence}``."""
    return JSONResponse({"error": sentence[:1].upper() + sentence[1:]}, status, headers)
