from collections.abc import AsyncIterator
from typing import Any

import pytest

from worker.engine.clients import ReleasingResponse

SCOPE = {"type": "http", "asgi": {"spec_version": "2.3"}}


async def chunks() -> AsyncIterator[bytes]:
    yield b"never asked for"


async def gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def refuses(message: Any) -> None:
    raise OSError("the connection is closed")


async def test_a_stream_that_nobody_began_to_read_is_let_go_of() -> None:
    released: list[str] = []
    response = ReleasingResponse(chunks(), lambda: released.append("now"))
    with pytest.raises(OSError, match="closed"):
        await response(SCOPE, gone, refuses)
    assert released == ["now"]
