"""Clients that leave before their answer is there."""

from collections.abc import AsyncIterable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from fettle import disconnect

T = TypeVar("T")


async def unless_gone(http: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. Raises ClientDisconnect when the client leaves first."""
    return await disconnect.unless_gone(http.receive, work, ClientDisconnect)


class ReleasingResponse(StreamingResponse):
    """A stream that lets go of what it holds, even if its client left before the first chunk was asked for."""

    def __init__(
        self, content: AsyncIterable[bytes], release: Callable[[], object], *args: Any, **options: Any
    ) -> None:
        super().__init__(content, *args, **options)
        self.release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.release()
