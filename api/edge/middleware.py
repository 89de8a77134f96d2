"""What happens before a body is read: a request id, the API key, and caps on bytes."""

import asyncio
import re
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import isolation
from api.console import paths
from api.edge import cookies, hosts, proxies
from api.errors import on_database_away, render
from api.routes import docs
from fettle import ids
from fettle.comparisons import annotators
from fettle.comparisons.imports import reader
from fettle.datasets import uploads
from fettle.db import DATABASE_AWAY
from fettle.errors import FettleError, InvalidRequest, TooLarge, TooSlow, Unauthenticated
from fettle.isolation import json_body
from fettle.settings import Settings
from models import ApiKey

SESSION_PATH = "/session"  # signs in and out by itself
OPEN_PATHS = {
    *("/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", SESSION_PATH),
    *(f"/docs/{name}" for name in docs.FILES),
}
OPEN_FOLDERS = ("/console/", "/vote/")  # the page's own files, and the page that an invitation opens
UPLOAD_PATH = "/v1/files"
SIGN_IN_BYTES = 4096  # the body of a stranger who signs in
PART_PATH = re.compile(r"/v1/uploads/[^/]+/parts")
IMPORT_PATH = re.compile(r"/v1/comparisons/[^/]+/import")
MULTIPART_OVERHEAD = 64 * 1024  # boundaries and the other fields
BODY_SECONDS = 60  # for a whole JSON body
STALL_SECONDS = 60  # between two pieces of an upload


class RequestId:
    """Every response carries `x-request-id`, and the headers that keep browsers from guessing and from storing."""

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
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-content-type-options"] = "nosniff"
                if scope["path"].startswith("/v1"):  # keys, prompts, presigned URLs
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_id)


class Authentication:
    """Refuses strangers and too large bodies; an unauthenticated upload is not read at all."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = Body(scope, receive)
        send = closing(send, body)
        try:
            hosts.check(scope)
            check_framing(scope)
            if (page := paths.page_of(scope)) is not None:
                await RedirectResponse(page)(scope, receive, send)
                return
            if scope["path"] not in OPEN_PATHS and not scope["path"].startswith(OPEN_FOLDERS):
                await authenticate(scope)
            check_target(scope)
            receive = await capped(scope, body)
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


class Body:
    """A request's body as it comes, with limits on its size and on how long it may take."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        self.receive = receive
        self.cap = 0
        self.seen = 0
        self.reading = False
        self.ended = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers

    async def __call__(self) -> Message:
        """Raises TooLarge and TooSlow."""
        if self.reading and self.ended:
            return await self.receive()  # that the client goes away
        self.reading = True
        try:
            async with asyncio.timeout(STALL_SECONDS):
                message = await self.receive()
        except TimeoutError as error:
            raise too_slow(STALL_SECONDS) from error
        self.seen += len(message.get("body", b""))
        self.ended = not message.get("more_body")
        if self.seen > self.cap:
            raise too_large(self.seen, self.cap)
        return message


def closing(send: Send, body: Body) -> Send:
    """An answer that comes before the body's end closes the connection: uvicorn would read the rest, for nobody."""

    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start" and not body.ended:
            MutableHeaders(scope=message)["connection"] = "close"
        await send(message)

    return send_and_close


async def authenticate(scope: Scope) -> None:
    """Puts the key and its project into the request's state. Raises Unauthenticated."""
    services = scope["app"].state
    scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    if not scheme and (secret := cookies.secret_of(scope)):
        await admit_session(scope, secret)
        return
    if scheme.lower() != "bearer" or not key:
        raise Unauthenticated(
            "The request has no API key. Send the header 'Authorization: Bearer fk_…', or use OpenAI(api_key=…). "
            "`fettle up` writes the first key to admin.key in the data folder.",
            code="missing_api_key",
        )
    if annotators.looks_like_token(key.strip()):
        await admit_annotator(scope, key.strip())
        return
    row = await services.reads.key(key.strip())
    if row is None:
        raise Unauthenticated(f"Incorrect API key: {key[:6]}…. `fettle keys list` shows the live keys.")
    scope["state"]["project_id"], scope["state"]["api_key"] = row.project_id, row
    structlog.contextvars.bind_contextvars(project_id=row.project_id)


async def admit_session(scope: Scope, secret: str) -> None:
    """As `authenticate`, for a signed-in browser. Raises Unauthenticated, and Forbidden without the CSRF token."""
    services = scope["app"].state
    row = await services.reads.sessions.get((secret, proxies.person_of(scope)))
    if row is None:
        raise Unauthenticated("This session has ended. Sign in again.", code="session_ended")
    cookies.need_csrf_token(scope, secret, services.pepper)
    scope["state"]["project_id"], scope["state"]["api_key"] = row.project_id, row
    structlog.contextvars.bind_contextvars(project_id=row.project_id)


async def admit_annotator(scope: Scope, token: str) -> None:
    """As `authenticate`, for an invitation to vote. Raises Unauthenticated, RateLimited."""
    services = scope["app"].state
    async with services.db.snapshot() as session:
        row = await annotators.authenticate(session, token, services.pepper)
    if row is None:
        raise Unauthenticated("This invitation is not valid. Ask for a new one from whoever sent it.")
    services.invitation_rates.take(row.id)
    key = ApiKey(id=row.id, project_id=row.project_id, name=row.name, hint=token[:8], scopes=[annotators.SCOPE])
    scope["state"]["project_id"], scope["state"]["api_key"], scope["state"]["annotator"] = row.project_id, key, row
    structlog.contextvars.bind_contextvars(project_id=row.project_id)


def check_framing(scope: Scope) -> None:
    """Two lengths for one body are how requests are smuggled past a proxy (RFC 9112, 6.3). Raises InvalidRequest."""
    headers = Headers(scope=scope)
    if "content-length" in headers and "transfer-encoding" in headers:
        raise InvalidRequest(
            "The request has both Content-Length and Transfer-Encoding. Send only one of them.", code="invalid_framing"
        )


def check_target(scope: Scope) -> None:
    """PostgreSQL's text cannot hold U+0000, and no id or cursor has it. Raises InvalidRequest."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise InvalidRequest("The URL contains the character U+0000. Remove it.", code="invalid_url")


async def capped(scope: Scope, body: Body) -> Receive:
    """What gives no more than the cap. A JSON body is read whole and checked here.

    Raises TooLarge, TooSlow, InvalidRequest, and ClientDisconnect when the client goes away before its body is whole.
    """
    settings = scope["app"].state.settings
    headers = Headers(scope=scope)
    content_type = headers.get("content-type", "application/json").lower()
    form = content_type.startswith("multipart/form-data")
    largest = form_bytes(scope["path"], settings) if form else None
    upload = largest is not None
    body.cap = settings.max_body_bytes if largest is None else largest + MULTIPART_OVERHEAD
    if scope["path"] == SESSION_PATH:
        body.cap = SIGN_IN_BYTES
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > body.cap:
        raise too_large(int(declared), body.cap)
    if upload:
        return body
    try:
        async with asyncio.timeout(BODY_SECONDS):
            content = await whole(body)
    except TimeoutError as error:
        raise too_slow(BODY_SECONDS) from error
    if content and "json" in content_type:
        await check_json(scope, content)
    return replaying(content, body.receive)


def form_bytes(path: str, settings: Settings) -> int | None:
    """Of the file in a form that is read as it comes; None for a route that reads no such form."""
    if path == UPLOAD_PATH:
        return settings.max_upload_bytes
    if PART_PATH.fullmatch(path):
        return uploads.PART_BYTES
    return reader.BYTES_AT_MOST if IMPORT_PATH.fullmatch(path) else None


async def whole(body: Body) -> bytes:
    content = bytearray()
    while True:
        message = await body()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect()
        content += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(content)


async def check_json(scope: Scope, body: bytes) -> None:
    """As strict as with the rows of a dataset. Raises InvalidRequest, TooLarge.

    What is large, or may have something amiss, is looked at outside of the event loop.
    """
    if json_body.small(body) and json_body.sound(body):
        return
    project_id = scope["state"].get("project_id", "")
    await isolation.run(scope["app"].state.pool, "check_body", project_id, "body", content=body)


def too_large(size: int, cap: int) -> TooLarge:
    return TooLarge(f"The request has {size:,} bytes or more, but the limit is {cap:,}. The operator can raise it.")


def too_slow(seconds: float) -> TooSlow:
    return TooSlow(f"The body did not arrive within {seconds:g} seconds. Send the request again.")


def replaying(body: bytes, receive: Receive) -> Receive:
    first: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay
