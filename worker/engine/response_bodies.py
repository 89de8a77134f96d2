"""What the two generating routes say differently about a choice, whole or streamed."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from fettle import ids
from worker.engine.requests import Base, Logprob, Piece
from worker.engine.tools import legacy, offers, parsing
from worker.engine.tools.parsing import CallParser
from worker.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from worker.engine.completion_schema import CompletionRequest
    from worker.engine.schemas import ChatRequest


class Shape(Protocol):
    """What the two generating routes say differently. kind: of object."""

    @property
    def id_prefix(self) -> ids.Prefix: ...

    @property
    def kind(self) -> str: ...

    @property
    def chunk_kind(self) -> str: ...

    def first_chunk(self, prompt: int) -> Mapping[str, Any] | None:
        """The first thing that a stream says of each choice. prompt: the number of its prompt."""

    def begin(self, base: Base) -> None:
        """Once it is known which base answers."""

    def ahead(self, prompt: int) -> str:
        """What stands before the text of each choice. prompt: the number of its prompt."""

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

    def ahead(self, prompt: int) -> str:
        return ""

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

    def first_chunk(self, prompt: int) -> Mapping[str, Any]:
        return {"delta": {"role": "assistant", "content": "", "refusal": None}, "logprobs": None}

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

    def __init__(self, body: "CompletionRequest") -> None:
        self.body = body
        self.echoed: list[str] = []

    def begin(self, base: Base) -> None:
        if self.body.echo:
            decode = base.renderer.tokenizer.decode
            self.echoed = [
                each if isinstance(each, str) else decode(each, skip_special_tokens=False) for each in self.body.prompt
            ]

    def ahead(self, prompt: int) -> str:
        return self.echoed[prompt] if self.echoed else ""

    def first_chunk(self, prompt: int) -> Mapping[str, Any] | None:
        return {"text": self.ahead(prompt), "logprobs": None} if self.echoed else None

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
