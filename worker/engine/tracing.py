"""The API's request id, in every log line of the engine that belongs to it."""

import re

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WELL_FORMED = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class RequestId:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = Headers(scope=scope).get("x-request-id", "") if scope["type"] == "http" else ""
        if not WELL_FORMED.fullmatch(sent):
            await self.app(scope, receive, send)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = sent
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=sent):
            await self.app(scope, receive, send_with_id)
