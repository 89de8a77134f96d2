"""One chat request on its way through the decode thread and back. No torch here: the event loop holds these."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fettle.errors import FettleError
from fettle.formats.render import Renderer

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Base:
    """A base model as the event loop knows it; its weights belong to the decode thread."""

    name: str
    folder: Path
    length: int  # longest sequence, tokens
    renderer: Renderer


@dataclass(frozen=True)
class Sampling:
    """How each of `n` rows is drawn; row i uses seed + i."""

    n: int
    temperature: float
    top_p: float
    seed: int | None
    max_tokens: int
    stops: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """The next text of one row. The last one of a row says why it ended; `tokens` counts the row's tokens so far."""

    index: int
    text: str
    tokens: int
    finish_reason: FinishReason | None = None


@dataclass(eq=False)
class Request:
    base: Base
    slot: str | None  # which of the base's adapters; None: the base itself
    prompt: list[int]  # ids (T)
    sampling: Sampling
    unfinished: int = field(init=False)  # rows
    over: asyncio.Event = field(default_factory=asyncio.Event, init=False)  # no row of it is decoded any more
    cancelled: bool = field(default=False, init=False)  # read by the decode thread before every step
    queue: asyncio.Queue[Piece | FettleError] = field(default_factory=asyncio.Queue, init=False)

    def __post_init__(self) -> None:
        self.unfinished = self.sampling.n

    @property
    def key(self) -> tuple[str, str | None]:
        """Requests with the same key may share a batch."""
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
            self.over.set()

    async def next(self) -> Piece:
        """Raises what went wrong on the decode thread."""
        item = await self.queue.get()
        if isinstance(item, FettleError):
            raise item
        return item

    def cancel(self) -> None:
        """Its rows leave the batch before the next step. Cancelling what is over does nothing."""
        self.cancelled = True
        self.over.set()
