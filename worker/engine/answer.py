"""An answer in OpenAI's form: one body, or the chunks of a stream. Choices are numbered through all prompts."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from fettle import ids
from fettle.errors import FettleError
from worker.engine.requests import Logprob, Piece, Request
from worker.engine.response_bodies import Shape

DONE = b"data: [DONE]\n\n"

Pieces = list[Piece]  # of one completion


@dataclass
class Answer:
    """requests: one for each prompt. n: how many completions to each are handed out. names_logprobs: whether it was
    asked for them."""

    model: str
    shape: Shape
    requests: Sequence[Request]
    n: int
    names_logprobs: bool
    id: str = field(init=False)
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.id = ids.new(self.shape.id_prefix)

    def cancel(self) -> None:
        for request in self.requests:
            request.cancel()

    def body(self, kind: str, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}

    def usage(self, completion: int) -> dict[str, Any]:
        """A prompt counts once, whatever n is; a completion's end token counts."""
        prompt = sum(len(request.prompt) for request in self.requests)
        cached = sum(request.cached for request in self.requests)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    async def whole(self) -> dict[str, Any]:
        """In one body, once every row has ended."""
        choices: list[dict[str, Any]] = []
        tokens = 0
        for number, request in enumerate(self.requests):
            written = await rows(request)
            tokens += sum(pieces[-1].tokens for pieces in written)
            for pieces in best(written, self.n):
                text = self.shape.ahead(number) + "".join(piece.text for piece in pieces)
                content = self.shape.whole(text, self.details(*pieces), request.base.vocabulary)
                reason = self.shape.reason(content, pieces[-1].finish_reason or "stop")
                choices.append({"index": len(choices), **content, "finish_reason": reason})
        return self.body(self.shape.kind, choices) | {"usage": self.usage(tokens)}

    def details(self, *pieces: Piece) -> list[Logprob] | None:
        if not self.names_logprobs:  # they may be there for `best`
            return None
        return [one for piece in pieces for one in piece.logprobs]

    async def streamed(self, first: Piece, include_usage: bool) -> AsyncIterator[bytes]:
        """Server-sent events. `first` was awaited before, while errors have a status. Prompts are decoded together and
        told one after the other."""
        shape, tokens = self.shape, 0

        def chunk(index: int, content: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
            choice = {"index": index, **content, "finish_reason": finish_reason}
            return event(self.body(shape.chunk_kind, [choice]) | nothing_yet)

        nothing_yet: dict[str, None] = {"usage": None} if include_usage else {}
        try:
            for number, request in enumerate(self.requests):
                going, before = self.n, number * self.n
                if (opening := shape.first_chunk(number)) is not None:
                    for index in range(going):
                        yield chunk(before + index, opening)
                piece = first if number == 0 else await request.next()
                while True:
                    for part in shape.parts(piece, self.details(piece), request.base.vocabulary):
                        yield chunk(before + piece.index, part)
                    if piece.finish_reason:
                        last = shape.part("", None, request.base.vocabulary)
                        yield chunk(before + piece.index, last, shape.reason(last, piece.finish_reason))
                        tokens, going = tokens + piece.tokens, going - 1
                    if not going:
                        break
                    piece = await request.next()
            if include_usage:
                yield event(self.body(shape.chunk_kind, []) | {"usage": self.usage(tokens)})
            yield DONE
        except FettleError as error:
            yield event(error.body())


async def rows(request: Request) -> list[Pieces]:
    """Of each completion, once all have ended."""
    pieces_by_row: list[Pieces] = [[] for _ in range(request.sampling.n)]
    going = len(pieces_by_row)
    while going:
        piece = await request.next()
        pieces_by_row[piece.index].append(piece)
        going -= piece.finish_reason is not None
    return pieces_by_row


def best(written: list[Pieces], n: int) -> list[Pieces]:
    """The n whose tokens are likeliest on average, best first; as they are where none is left out."""
    if len(written) == n:
        return written

    def likelihood(pieces: Pieces) -> float:
        found = [one.logprob for piece in pieces for one in piece.logprobs]
        return sum(found) / len(found) if found else 0.0

    return sorted(written, key=likelihood, reverse=True)[:n]


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"
