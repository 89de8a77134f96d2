"""Every error leaves in OpenAI's shape: {"error": {message, type, param, code}}."""

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.schemas.evaluation import SOURCE_TYPES
from fettle.db import DATABASE_AWAY, FULL_ERRORS, DatabaseFull
from fettle.errors import DiskFull, FettleError, NotFound, StorageRefused, Unavailable, from_schema
from fettle.inference.requests.response_tools import ITEM_TYPES
from fettle.observability import metrics
from fettle.observability.causes import for_tenants, in_words
from fettle.storage import Away, Missing, Refused

log = structlog.get_logger()

# The SDK repeats these by itself unless it is told whether that can help
RETRIED_BY_SDK = {408, 409, 429, 500, 502, 503, 504, 507}
ELSEWHERE = {  # OpenAI's routes that people try, and what to do instead
    "/v1/responses/": "Stored responses can be read and deleted. Nothing runs in the background.",
}
HTTP_CODES = {404: "unknown_url", 405: "method_not_allowed"}


def render(error: FettleError) -> JSONResponse:
    headers = {}
    if error.status in RETRIED_BY_SDK:
        headers["x-should-retry"] = "true" if error.retry else "false"
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(error.body(), error.status, headers)


async def on_fettle_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FettleError)  # noqa: S101 — it is registered for nothing else
    return render(error)


async def on_schema_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 — as above
    return render(from_schema(error.errors(), tags={*ITEM_TYPES, *SOURCE_TYPES}))


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Starlette's own: no such route, or not with this method."""
    assert isinstance(error, HTTPException)  # noqa: S101 — as above
    message = f"{request.method} {request.url.path}: {error.detail}."
    if error.status_code in HTTP_CODES:
        path = request.url.path
        hints = [hint for begin, hint in ELSEWHERE.items() if path == begin or path.startswith(begin.rstrip("/") + "/")]
        message += f" {hints[0] if hints else 'The routes are listed at /docs.'}"
    code = HTTP_CODES.get(error.status_code, "invalid_request")
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return JSONResponse(body, error.status_code, error.headers)


async def on_database_away(request: Request, error: Exception) -> JSONResponse:
    """Nothing was written; the SDK tries again by itself."""
    if isinstance(error, DatabaseFull):
        return on_disk_full(error)
    metrics.errors.labels("database").inc()
    log.error("database_away", cause=in_words(error))
    return render(Unavailable("The database is not responding. Try again in a few seconds."))


async def on_os_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OSError)  # noqa: S101 — as above
    if error.errno not in FULL_ERRORS:
        raise error
    return on_disk_full(error)


def on_disk_full(error: Exception) -> JSONResponse:
    metrics.errors.labels("storage").inc()
    log.error("disk_full", cause=in_words(error))
    return render(DiskFull("The server's disk is full, and nothing was saved. Ask the operator to free some space."))


async def on_storage_away(request: Request, error: Exception) -> JSONResponse:
    log.error("storage_away", cause=in_words(error))
    return render(Unavailable("Storage is not responding. Try again in a few seconds."))


async def on_storage_refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)  # noqa: S101 — as above
    log.error("storage_refused", cause=in_words(error))
    return render(StorageRefused(f"Storage refused the request: {for_tenants(error.words)}. Ask the operator."))


async def on_missing(request: Request, error: Exception) -> JSONResponse:
    log.error("object_missing", key=str(error))
    return render(
        NotFound("The content is no longer in storage. Upload the file or run the job again.", code="content_missing")
    )


async def on_disconnect(request: Request, error: Exception) -> Response:
    """The client went away while it was sending: nobody reads the answer, and nothing has gone wrong here."""
    return Response(status_code=499)


async def on_bug(request: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw: logged whole, shown as nothing but an id to ask about."""
    request_id = request.state.request_id
    log.error("internal_error", path=request.url.path, exc_info=error)
    answer = render(FettleError(f"Internal error. Find it in the server's log by the request id {request_id}."))
    answer.headers["x-request-id"] = request_id  # Starlette answers bugs outside of all middleware
    answer.headers["x-content-type-options"], answer.headers["cache-control"] = "nosniff", "no-store"
    return answer


def install(app: FastAPI) -> None:
    app.add_exception_handler(FettleError, on_fettle_error)
    app.add_exception_handler(RequestValidationError, on_schema_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(ClientDisconnect, on_disconnect)
    app.add_exception_handler(Missing, on_missing)
    app.add_exception_handler(Away, on_storage_away)
    app.add_exception_handler(Refused, on_storage_refused)
    for away in DATABASE_AWAY:
        app.add_exception_handler(away, on_database_away)
    app.add_exception_handler(OSError, on_os_error)
    app.add_exception_handler(Exception, on_bug)
