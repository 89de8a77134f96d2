"""One request straight into the application, message by message, and how much of it was read."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

GONE: Message = {"type": "http.disconnect"}


def chunk(body: bytes = b"", *, last: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": not last}


@dataclass
class Exchange:
    """status: None when nothing was answered. reads: how often the application asked for more of the request."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reads: int = 0


async def exchange(
    app: ASGIApp,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    messages: Iterable[Message] | AsyncIterator[Message] = (),
) -> Exchange:
    """The client goes away after its last message."""
    done = Exchange()
    source = iter(messages) if isinstance(messages, Iterable) else messages

    async def receive() -> Message:
        done.reads += 1
        if isinstance(source, AsyncIterator):
            return await anext(source, GONE)
        return next(source, GONE)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            done.status = message["status"]
            done.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            done.body += message.get("body", b"")

    await app(scope(method, path, headers or {}), receive, send)
    return done


def scope(method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    raw, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw),
        "raw_path": raw.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 40000),
        "server": ("fettle", 80),
    }
