"""The engine's one key, asked for before a body is read."""

import secrets

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from fettle.errors import Unauthenticated
from worker.engine.refusals import render

OPEN_PATHS = {"/health", "/metrics"}  # /metrics asks for a key of its own


class KeyMiddleware:
    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app = app
        self.expected = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            sent = Headers(scope=scope).get("authorization", "").encode("latin-1")
            if not secrets.compare_digest(sent, self.expected):
                error = Unauthenticated(
                    "Send the engine's key in the header 'Authorization: Bearer <FETTLE_ENGINE_KEY>'."
                )
                await render(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)
