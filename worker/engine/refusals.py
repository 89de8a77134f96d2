"""Every error leaves in OpenAI's shape: {"error": {message, type, param, code}}."""

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fettle.errors import FettleError, InvalidRequest, from_schema
from worker.engine.errors import Overloaded

log = structlog.get_logger()

RETRIED_BY_SDK = {408, 409, 429, 500, 503}  # by default; x-should-retry overrides it
RETRY_AFTER_SECONDS = 2
CLIENT_CLOSED_REQUEST = 499  # nginx's; nobody is there to read it


def render(error: FettleError) -> JSONResponse:
    headers = {}
    if error.status in RETRIED_BY_SDK:
        headers["x-should-retry"] = "true" if error.retry else "false"
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    return JSONResponse(error.body(), error.status, headers)


async def on_fettle_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FettleError)  # noqa: S101 — it is registered for nothing else
    return render(error)


async def on_schema_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 — as above
    return render(from_schema(error.errors()))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: no such route, or not with this method."""
    assert isinstance(error, HTTPException)  # noqa: S101 — as above
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    refusal = InvalidRequest(f"{request.method} {request.url.path}: {error.detail}.", code=code)
    return JSONResponse(refusal.body(), error.status_code, error.headers)


async def on_client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def on_bug(request: Request, error: Exception) -> Response:
    log.error("internal_error", path=request.url.path, exc_info=error)
    return render(FettleError("The inference engine failed. Its log has the details."))


def install(app: FastAPI) -> None:
    app.add_exception_handler(FettleError, on_fettle_error)
    app.add_exception_handler(RequestValidationError, on_schema_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(ClientDisconnect, on_client_gone)
    app.add_exception_handler(Exception, on_bug)
