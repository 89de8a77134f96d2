"""OpenAI's response bodies: a chat completion, and the chunks of a streamed one."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from fettle import ids
from fettle.errors import FettleError
from worker.engine.requests import Piece, Request

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Answer:
    """What every body of one answer repeats."""

    name: str
    id: str = field(default_factory=lambda: ids.new("chatcmpl-"))
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self, kind: str, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.name, "choices": choices}


def usage(prompt: int, completion: int) -> dict[str, int]:
    """The prompt counts once, whatever n is; a completion's end token counts."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


async def whole(request: Request, answer: Answer) -> dict[str, Any]:
    """The answer in one body, once every row has ended."""
    texts = [""] * request.sampling.n
    ends: dict[int, Piece] = {}
    while len(ends) < len(texts):
        piece = await request.next()
        texts[piece.index] += piece.text
        if piece.finish_reason:
            ends[piece.index] = piece
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": ends[index].finish_reason,
        }
        for index, text in enumerate(texts)
    ]
    tokens = sum(end.tokens for end in ends.values())
    return answer.body("chat.completion", choices) | {"usage": usage(len(request.prompt), tokens)}


async def streamed(request: Request, answer: Answer, first: Piece, include_usage: bool) -> AsyncIterator[bytes]:
    """Server-sent events; leaving early cancels the request. `first` was awaited before, while errors have a status."""

    def chunk(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return event(answer.body("chat.completion.chunk", [choice]) | nothing_yet)

    nothing_yet: dict[str, None] = {"usage": None} if include_usage else {}
    tokens, going = 0, request.sampling.n
    try:
        for index in range(going):
            yield chunk(index, {"role": "assistant", "content": "", "refusal": None})
        piece = first
        while True:
            if piece.text:
                yield chunk(piece.index, {"content": piece.text})
            if piece.finish_reason:
                yield chunk(piece.index, {}, piece.finish_reason)
                tokens, going = tokens + piece.tokens, going - 1
            if not going:
                break
            piece = await request.next()
        if include_usage:
            totals = usage(len(request.prompt), tokens)
            yield event(answer.body("chat.completion.chunk", []) | {"usage": totals})
        yield DONE
    except FettleError as error:
        yield event(error.body())
    finally:
        request.cancel()
