"""OpenAI's response bodies: a whole completion, and the chunks of a streamed one, in the shape of either route."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from fettle import ids
from fettle.errors import FettleError
from worker.engine.requests import Base, Logprob, Piece, Request
from worker.engine.tools import legacy, offers, parsing
from worker.engine.tools.parsing import CallParser
from worker.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from worker.engine.schemas import ChatRequest

DONE = b"data: [DONE]\n\n"


class Shape(Protocol):
    """What the two generating routes say differently. kind: of object."""

    @property
    def id_prefix(self) -> ids.Prefix: ...

    @property
    def kind(self) -> str: ...

    @property
    def chunk_kind(self) -> str: ...

    @property
    def first_chunk(self) -> Mapping[str, Any] | None:
        """The first thing that a stream says of each choice."""

    def begin(self, base: Base) -> None:
        """Once it is known which base answers."""

    def whole(self, text: str, logprobs: list[Logprob] | None, vocabulary: Vocabulary) -> dict[str, Any]: ...

    def part(self, text: str, logprobs: Sequence[Logprob] | None, vocabulary: Vocabulary) -> dict[str, Any]: ...

    def parts(
        self, piece: Piece, logprobs: Sequence[Logprob] | None, vocabulary: Vocabulary
    ) -> Iterator[dict[str, Any]]:
        """What a stream says of one piece."""

    def reason(self, content: Mapping[str, Any], finish_reason: str) -> str:
        """Why a choice ended, as OpenAI names it. content: the whole choice, or the last part of a streamed one."""


class Plain:
    """A choice whose text is passed on as it is."""

    def begin(self, base: Base) -> None: ...

    def part(self, text: str, logprobs: Sequence[Logprob] | None, vocabulary: Vocabulary) -> dict[str, Any]:
        raise NotImplementedError

    def parts(
        self, piece: Piece, logprobs: Sequence[Logprob] | None, vocabulary: Vocabulary
    ) -> Iterator[dict[str, Any]]:
        if piece.text or piece.logprobs:
            yield self.part(piece.text, logprobs, vocabulary)

    def reason(self, content: Mapping[str, Any], finish_reason: str) -> str:
        return finish_reason


class Chat(Plain):
    id_prefix: ids.Prefix = "chatcmpl-"
    kind, chunk_kind = "chat.completion", "chat.completion.chunk"
    first_chunk: Mapping[str, Any] = {"delta": {"role": "assistant", "content": "", "refusal": None}, "logprobs": None}

    def whole(self, text: str, logprobs: list[Logprob] | None, vocabulary: Vocabulary) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"message": message, "logprobs": chat_logprobs(logprobs, vocabulary)}

    def part(self, text: str, logprobs: Sequence[Logprob] | None, vocabulary: Vocabulary) -> dict[str, Any]:
        return {"delta": {"content": text} if text else {}, "logprobs": chat_logprobs(logprobs, vocabulary)}


class ToolChat(Chat):
    """A chat in which the model may call tools."""

    def __init__(self, body: "ChatRequest") -> None:
        self.body = body
        self.old = legacy.answer if body.old_form else lambda content: content
        self.parsers: list[CallParser] = []

    def begin(self, base: Base) -> None:
        self.parsers = [offers.parser(base, self.body) for _ in range(self.body.n)]
        self.new_parser = partial(offers.parser, base, self.body)

    def whole(self, text: str, logprobs: list[Logprob] | None, vocabulary: Vocabulary) -> dict[str, Any]:
        message = parsing.message(self.new_parser().push(text, last=True))
        return {"message": self.old(message), "logprobs": chat_logprobs(logprobs, vocabulary)}

    def parts(
        self, piece: Piece, logprobs: Sequence[Logprob] | None, vocabulary: Vocabulary
    ) -> Iterator[dict[str, Any]]:
        details = chat_logprobs(logprobs, vocabulary)
        deltas = self.parsers[piece.index].push(piece.text, last=piece.finish_reason is not None)
        for delta in deltas or ([{}] if piece.logprobs else []):
            yield {"delta": self.old(delta), "logprobs": details}
            details = chat_logprobs([], vocabulary) if details else None
        self.called = self.parsers[piece.index].calls > 0

    def reason(self, content: Mapping[str, Any], finish_reason: str) -> str:
        """OpenAI says `stop` where the request itself named the function."""
        message = content.get("message")
        called = self.called if message is None else bool(message.get("tool_calls") or message.get("function_call"))
        if not called or finish_reason != "stop" or self.body.named:
            return finish_reason
        return "function_call" if self.body.old_form else "tool_calls"


class Text(Plain):
    id_prefix: ids.Prefix = "cmpl-"
    kind = chunk_kind = "text_completion"
    first_chunk = None

    def whole(self, text: str, logprobs: list[Logprob] | None, vocabulary: Vocabulary) -> dict[str, Any]:
        return self.part(text, logprobs, vocabulary)

    def part(self, text: str, logprobs: Sequence[Logprob] | None, vocabulary: Vocabulary) -> dict[str, Any]:
        return {"text": text, "logprobs": raw_logprobs(logprobs, vocabulary)}


def token_text(token: int, vocabulary: Vocabulary) -> str:
    return vocabulary.raw(token).decode("utf-8", "replace")


def chat_logprobs(logprobs: Sequence[Logprob] | None, vocabulary: Vocabulary) -> dict[str, Any] | None:
    if logprobs is None:
        return None

    def entry(token: int, logprob: float) -> dict[str, Any]:
        return {"token": token_text(token, vocabulary), "logprob": logprob, "bytes": list(vocabulary.raw(token))}

    content = [
        entry(one.token, one.logprob) | {"top_logprobs": [entry(*other) for other in one.top]} for one in logprobs
    ]
    return {"content": content, "refusal": None}


def raw_logprobs(logprobs: Sequence[Logprob] | None, vocabulary: Vocabulary) -> dict[str, Any] | None:
    if logprobs is None:
        return None
    return {
        "tokens": [token_text(one.token, vocabulary) for one in logprobs],
        "token_logprobs": [one.logprob for one in logprobs],
        "top_logprobs": [{token_text(token, vocabulary): value for token, value in one.top} for one in logprobs],
    }


@dataclass(frozen=True)
class ResponseHead:
    """What every body of one answer repeats."""

    name: str
    shape: Shape
    id: str = field(init=False)
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", ids.new(self.shape.id_prefix))

    def body(self, kind: str, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.name, "choices": choices}


def usage(prompt: int, completion: int) -> dict[str, int]:
    """The prompt counts once, whatever n is; a completion's end token counts."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


async def whole(request: Request, head: ResponseHead) -> dict[str, Any]:
    """The answer in one body, once every row has ended."""
    pieces_by_choice: list[list[Piece]] = [[] for _ in range(request.sampling.n)]
    going = len(pieces_by_choice)
    while going:
        piece = await request.next()
        pieces_by_choice[piece.index].append(piece)
        going -= piece.finish_reason is not None
    choices = []
    for index, pieces in enumerate(pieces_by_choice):
        text = "".join(piece.text for piece in pieces)
        content = head.shape.whole(text, details(request, *pieces), vocabulary(request))
        reason = head.shape.reason(content, pieces[-1].finish_reason or "stop")
        choices.append({"index": index, **content, "finish_reason": reason})
    tokens = sum(pieces[-1].tokens for pieces in pieces_by_choice)
    return head.body(head.shape.kind, choices) | {"usage": usage(len(request.prompt), tokens)}


def details(request: Request, *pieces: Piece) -> list[Logprob] | None:
    if request.sampling.logprobs is None:
        return None
    return [one for piece in pieces for one in piece.logprobs]


def vocabulary(request: Request) -> Vocabulary:
    return request.base.vocabulary


async def streamed(request: Request, head: ResponseHead, first: Piece, include_usage: bool) -> AsyncIterator[bytes]:
    """Server-sent events. `first` was awaited before, while errors have a status."""
    shape = head.shape

    def chunk(index: int, content: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": index, **content, "finish_reason": finish_reason}
        return event(head.body(shape.chunk_kind, [choice]) | nothing_yet)

    nothing_yet: dict[str, None] = {"usage": None} if include_usage else {}
    tokens, going = 0, request.sampling.n
    try:
        if shape.first_chunk is not None:
            for index in range(going):
                yield chunk(index, shape.first_chunk)
        piece = first
        while True:
            for part in shape.parts(piece, details(request, piece), vocabulary(request)):
                yield chunk(piece.index, part)
            if piece.finish_reason:
                last = shape.part("", None, vocabulary(request))
                yield chunk(piece.index, last, shape.reason(last, piece.finish_reason))
                tokens, going = tokens + piece.tokens, going - 1
            if not going:
                break
            piece = await request.next()
        if include_usage:
            totals = usage(len(request.prompt), tokens)
            yield event(head.body(shape.chunk_kind, []) | {"usage": totals})
        yield DONE
    except FettleError as error:
        yield event(error.body())
