"""One request on its way through the decode thread and back. No torch here: the event loop holds these."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fettle.datasets.formats.render import Renderer
from fettle.errors import FettleError
from worker.engine import metrics
from worker.engine.grammar import Grammar
from worker.engine.vocabulary import Vocabulary

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Base:
    """A base model as the event loop knows it; its weights belong to the decode thread."""

    name: str
    folder: Path
    length: int  # longest sequence, tokens
    renderer: Renderer
    ends: frozenset[int]  # tokens that end an answer; a chat model may have more than one
    vocabulary: Vocabulary


@dataclass(frozen=True)
class Sampling:
    """How each of `n` rows is drawn; row i uses seed + i."""

    n: int
    temperature: float
    top_p: float
    seed: int | None
    max_tokens: int
    stops: tuple[str, ...]
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)  # token id → what is added to its logit
    logprobs: int | None = None  # how many of the likeliest tokens to name beside the chosen one; None: no logprobs
    grammar: Grammar | None = None  # what the text must be
    shown: frozenset[int] = frozenset()  # control tokens that the text is to show


@dataclass(frozen=True)
class Logprob:
    """ln p of a chosen token, and of the likeliest ones, by the model alone: before temperature, bias and grammar."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """The next text of one row. The last one of a row says why it ended; `tokens` counts the row's tokens so far."""

    index: int
    text: str
    tokens: int
    finish_reason: FinishReason | None = None
    logprobs: tuple[Logprob, ...] = ()  # of the tokens since the last piece; an end token has none


@dataclass(eq=False)
class Request:
    base: Base
    slot: str | None  # which of the base's adapters; None: the base itself
    prompt: list[int]  # ids (T)
    sampling: Sampling
    background: bool = False  # joins only where it slows nobody who waits for an answer
    salt: str | None = None  # requests with the same one may share the beginnings of prompts; None: it shares nothing
    cached: int = field(default=0, init=False)  # tokens of the prompt that an earlier request had read
    unfinished: int = field(init=False)  # rows
    overtaken: int = field(default=0, init=False)  # times that a later request was admitted before it
    kept_back: int = field(default=0, init=False)  # looks at which a background request let others go first
    over: asyncio.Event = field(default_factory=asyncio.Event, init=False)  # no row of it is decoded any more
    cancelled: bool = field(default=False, init=False)  # read by the decode thread before every step
    queue: asyncio.Queue[Piece | FettleError] = field(default_factory=asyncio.Queue, init=False)

    def __post_init__(self) -> None:
        self.unfinished = self.sampling.n

    @property
    def key(self) -> tuple[str, str | None]:
        """Whose weights answer."""
        return self.base.name, self.slot

    @property
    def width(self) -> int:
        """Positions that a row may come to hold."""
        return len(self.prompt) + self.sampling.max_tokens

    def receive(self, item: Piece | FettleError) -> None:
        """From the decode thread, on the event loop."""
        self.queue.put_nowait(item)
        if isinstance(item, FettleError):
            self.unfinished = 0
        elif item.finish_reason:
            self.unfinished -= 1
        if not self.unfinished:
            self._end("failed" if isinstance(item, FettleError) else "answered")

    async def next(self) -> Piece:
        """Raises what went wrong on the decode thread."""
        item = await self.queue.get()
        if isinstance(item, FettleError):
            raise item
        return item

    def cancel(self) -> None:
        """Its rows leave the batch before the next step. Cancelling what is over does nothing."""
        self.cancelled = True
        self._end("cancelled")

    def _end(self, outcome: str) -> None:
        """The first one counts."""
        if not self.over.is_set():
            metrics.requests.labels(outcome).inc()
            self.over.set()
