"""Answers that are sent while they are read."""

from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from fettle import disconnect
from fettle.observability import metrics

T = TypeVar("T")


def json_response(body: bytes | None) -> Response:
    """JSON that is written already: FastAPI's own rendering takes several times as long as a read."""
    return Response(body, media_type="application/json")


async def start_reading(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, the first one read already: what is missing is then an error, not an answer cut short."""
    first = await anext(chunks, b"")

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return whole()


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client leaves first. Raises ClientDisconnect then."""
    return await disconnect.unless_gone(request.receive, work, ClientDisconnect)


async def count_stream(events: AsyncIterator[T]) -> AsyncIterator[T]:
    """The same events. The stream counts as open while somebody reads it."""
    with metrics.event_streams.track_inprogress():
        async for event in events:
            yield event
