"""What happens before a body is read: a request id, the API key, and caps on bytes."""

from typing import Any

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import on_database_away, render
from fettle import ids
from fettle.db import DATABASE_AWAY
from fettle.errors import FettleError, InvalidRequest, TooLarge, Unauthenticated
from fettle.formats import jsonl
from fettle.formats.problems import put_into_words

OPEN_PATHS = {"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"}
UPLOAD_PATH = "/v1/files"
MULTIPART_OVERHEAD = 64 * 1024  # boundaries and the other fields


class RequestId:
    """Every response carries `x-request-id`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = ids.new("req_")
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id)


class Gate:
    """Refuses strangers and too large bodies; an unauthenticated upload is not read at all."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            if scope["path"] not in OPEN_PATHS:
                await authenticate(scope)
            check_target(scope)
            receive = await capped(scope, receive)
        except ClientDisconnect:
            return
        except FettleError as error:
            await render(error)(scope, receive, send)
            return
        except DATABASE_AWAY as error:
            answer = await on_database_away(Request(scope), error)
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)


async def authenticate(scope: Scope) -> None:
    """Puts the key's project into the request's state. Raises Unauthenticated."""
    services = scope["app"].state
    scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unauthenticated(
            "No API key was sent: use the header 'Authorization: Bearer fk_…', or OpenAI(api_key=…). "
            "The first start wrote a key to admin.key in the data folder.",
            code="missing_api_key",
        )
    row = await services.reads.key(key.strip())
    if row is None:
        raise Unauthenticated(f"Incorrect API key: {key[:6]}…; `fettle keys list` shows the live ones.")
    scope["state"]["project_id"] = row.project_id
    structlog.contextvars.bind_contextvars(project_id=row.project_id)


def check_target(scope: Scope) -> None:
    """PostgreSQL's text cannot hold U+0000, and no id or cursor has it. Raises InvalidRequest."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise InvalidRequest("The URL holds the character U+0000: leave it out.", code="invalid_url")


async def capped(scope: Scope, receive: Receive) -> Receive:
    """A `receive` that gives no more than the cap. A JSON body is read whole and checked here.

    Raises TooLarge, InvalidRequest, and ClientDisconnect when the client goes away before its body is whole.
    """
    settings = scope["app"].state.settings
    headers = Headers(scope=scope)
    content_type = headers.get("content-type", "application/json").lower()
    upload = scope["path"] == UPLOAD_PATH and content_type.startswith("multipart/form-data")
    cap = settings.max_upload_bytes + MULTIPART_OVERHEAD if upload else settings.max_body_bytes
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > cap:
        raise too_large(int(declared), cap)
    if upload:
        return counting(receive, cap)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect()
        body += message.get("body", b"")
        if len(body) > cap:
            raise too_large(len(body), cap)
        if not message.get("more_body"):
            break
    if body and "json" in content_type:
        check_json(bytes(body))
    return replaying(bytes(body), receive)


def check_json(body: bytes) -> None:
    """As strict as with the rows of a dataset: no NaN, no NUL, no key twice, bounded depth. Raises InvalidRequest."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not JSON: {error.msg} at character {error.pos}.", code="invalid_json"
        ) from error
    if not isinstance(parsed, dict):
        raise InvalidRequest(
            f"The body is a JSON {type(parsed).__name__}, but an object is needed.", code="invalid_json"
        )
    if not jsonl.suspicious(body, parsed):
        return
    for finding in jsonl.examine(body)[1]:
        problem = put_into_words(1, finding)
        raise InvalidRequest(f"{problem.message} {problem.fix}", code="invalid_json", param=problem.path or None)


def too_large(size: int, cap: int) -> TooLarge:
    return TooLarge(
        f"The request has {size:,} bytes or more, but {cap:,} are allowed; the operator can raise the limit."
    )


def counting(receive: Receive, cap: int) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > cap:
            raise too_large(seen, cap)
        return message

    return counted


def replaying(body: bytes, receive: Receive) -> Receive:
    first: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay
