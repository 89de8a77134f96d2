"""A streamed chat completion as the events of OpenAI's Responses API."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import orjson

from api.schemas.response import Answer

BROKEN = "The engine stopped before its answer was complete."


async def as_events(answer: Answer, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Server-sent events from `response.created` to `response.completed`, `.incomplete` or `.failed`."""
    numbers = count()
    place = {"item_id": answer.message_id, "output_index": 0, "content_index": 0}

    def event(kind: str, **fields: Any) -> bytes:
        body = {"type": f"response.{kind}", "sequence_number": next(numbers), **fields}
        return b"event: %s\ndata: %s\n\n" % (body["type"].encode(), orjson.dumps(body))

    yield event("created", response=answer.body())
    yield event("in_progress", response=answer.body())
    yield event("output_item.added", output_index=0, item=answer.message())
    yield event("content_part.added", **place, part=answer.part())
    async for chunk in data(chunks):
        if "error" in chunk:
            answer.error = {"code": "server_error", "message": str(chunk["error"].get("message", BROKEN))}
            break
        answer.usage = chunk.get("usage") or answer.usage
        for choice in chunk["choices"]:
            if piece := choice["delta"].get("content"):
                answer.text += piece
                yield event("output_text.delta", **place, delta=piece, logprobs=[])
            if choice.get("finish_reason"):
                answer.end(choice["finish_reason"])
    if answer.error or answer.status == "in_progress":
        answer.status, answer.error = "failed", answer.error or {"code": "server_error", "message": BROKEN}
        yield event("failed", response=answer.body())
        return
    yield event("output_text.done", **place, text=answer.text, logprobs=[])
    yield event("content_part.done", **place, part=answer.part())
    yield event("output_item.done", output_index=0, item=answer.message())
    yield event(answer.status, response=answer.body())


async def data(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The JSON of each server-sent event, comments and the closing [DONE] left out."""
    buffer = b""
    async for chunk in chunks:
        buffer += chunk
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and (text := line.removeprefix(b"data:").strip()) != b"[DONE]":
                yield orjson.loads(text)
