"""A streamed chat completion as the events of OpenAI's Responses API."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from typing import Any

import orjson

from fettle.inference.requests.response_answer import Answer, logprobs_of

BROKEN = "The engine stopped before its answer was complete."


class Events:
    """Writes events, each with its number, and knows which output item is being written."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.numbers = count()
        self.text_open = False
        self.open_call: dict[str, Any] | None = None

    def event(self, kind: str, **fields: Any) -> bytes:
        body = {"type": f"response.{kind}", "sequence_number": next(self.numbers), **fields}
        return b"event: %s\ndata: %s\n\n" % (body["type"].encode(), orjson.dumps(body))

    @property
    def place(self) -> dict[str, Any]:
        return {"item_id": self.answer.message_id, "output_index": 0, "content_index": 0}

    @property
    def call_place(self) -> dict[str, Any]:
        item = self.open_call or {}
        before = len(self.answer.calls) - 1 + self.answer.has_message
        return {"item_id": item["id"], "output_index": before}

    def begin_text(self) -> Iterator[bytes]:
        if not self.text_open:
            self.text_open = self.answer.has_message = True
            yield self.event("output_item.added", output_index=0, item=self.answer.message())
            yield self.event("content_part.added", **self.place, part=self.answer.part())

    def text(self, piece: str, logprobs: list[dict[str, Any]]) -> Iterator[bytes]:
        yield from self.begin_text()
        self.answer.text += piece
        self.answer.logprobs += logprobs
        yield self.event("output_text.delta", **self.place, delta=piece, logprobs=logprobs)

    def call(self, piece: dict[str, Any]) -> Iterator[bytes]:
        """A call begins, or its arguments go on."""
        if "id" in piece:
            yield from self.end_call()
            self.open_call = self.answer.call(piece) | {}
            item = {**self.open_call, "status": "in_progress"}
            yield self.event("output_item.added", output_index=self.call_place["output_index"], item=item)
        delta = piece["function"].get("arguments")
        if delta and "id" not in piece:
            self.answer.calls[-1]["arguments"] += delta
            yield self.event("function_call_arguments.delta", **self.call_place, delta=delta)

    def end_call(self) -> Iterator[bytes]:
        if self.open_call is None:
            return
        item = self.answer.calls[-1]
        done = {"name": item["name"], "arguments": item["arguments"]}
        yield self.event("function_call_arguments.done", **self.call_place, **done)
        yield self.event("output_item.done", output_index=self.call_place["output_index"], item=item)
        self.open_call = None

    def end_text(self) -> Iterator[bytes]:
        if self.text_open:
            yield self.event("output_text.done", **self.place, text=self.answer.text, logprobs=self.answer.logprobs)
            yield self.event("content_part.done", **self.place, part=self.answer.part())
            yield self.event("output_item.done", output_index=0, item=self.answer.message())


async def as_events(
    answer: Answer, chunks: AsyncIterator[bytes], keep: Callable[[], Awaitable[None]]
) -> AsyncIterator[bytes]:
    """Server-sent events from `response.created` to `response.completed`, `.incomplete` or `.failed`.

    keep: stores the answer once it is whole, before the client learns that it is.
    """
    events = Events(answer)
    yield events.event("created", response=answer.body())
    yield events.event("in_progress", response=answer.body())
    if not answer.request.tools:
        for each in events.begin_text():
            yield each
    async for chunk in data(chunks):
        if "error" in chunk:
            answer.error = {"code": "server_error", "message": str(chunk["error"].get("message", BROKEN))}
            break
        answer.usage = chunk.get("usage") or answer.usage
        for choice in chunk["choices"]:
            piece, logprobs = choice["delta"].get("content") or "", logprobs_of(choice)
            if piece or (logprobs and not choice["delta"].get("tool_calls")):
                for each in events.text(piece, logprobs):
                    yield each
            for call in choice["delta"].get("tool_calls") or ():
                for each in events.call(call):
                    yield each
            if choice.get("finish_reason"):
                answer.end(choice["finish_reason"])
    if answer.error or answer.status == "in_progress":
        answer.status, answer.error = "failed", answer.error or {"code": "server_error", "message": BROKEN}
        yield events.event("failed", response=answer.body())
        return
    if not answer.calls:
        for each in events.begin_text():
            yield each
    for each in (*events.end_call(), *events.end_text()):
        yield each
    await keep()
    yield events.event(answer.status, response=answer.body())


async def data(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The JSON of each server-sent event, comments and the closing [DONE] left out."""
    buffer = b""
    async for chunk in chunks:
        buffer += chunk
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and (text := line.removeprefix(b"data:").strip()) != b"[DONE]":
                yield orjson.loads(text)
