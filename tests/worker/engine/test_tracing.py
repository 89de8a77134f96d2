from typing import Any

import pytest
import structlog
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from worker.engine.tracing import RequestId


async def answer(headers: dict[str, str]) -> tuple[dict[str, Any], dict[bytes, bytes]]:
    """What the log would know within the request, and the answer's headers."""
    known: dict[str, Any] = {}
    sent: dict[bytes, bytes] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        known.update(structlog.contextvars.get_contextvars())
        await JSONResponse({})(scope, receive, send)

    async def receive() -> Any: ...

    async def send(message: Any) -> None:
        sent.update(message.get("headers", []))

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await RequestId(app)({"type": "http", "headers": raw}, receive, send)
    return known, sent


async def test_the_apis_id_is_known_to_the_log_and_given_back() -> None:
    known, sent = await answer({"x-request-id": "req_abc"})
    assert known["request_id"] == "req_abc"
    assert sent[b"x-request-id"] == b"req_abc"
    assert "request_id" not in structlog.contextvars.get_contextvars()


@pytest.mark.parametrize("odd", ["", "a b", "x" * 129, 'x","level":"error'])
async def test_what_is_no_id_is_not_taken(odd: str) -> None:
    known, sent = await answer({"x-request-id": odd})
    assert "request_id" not in known
    assert b"x-request-id" not in sent
