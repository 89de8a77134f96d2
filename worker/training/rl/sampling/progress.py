"""A part of a step that takes long says how far it is."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.training.process.channel import Channel
from worker.training.rl.sampling.completions import Watch

EVERY_SECONDS = 2.0

Watches = Callable[[str], Watch]  # one for each part, by its phase


@dataclass
class Progress:
    """A `Watch` for one batch of completions; ranks other than the first have a channel that sends nothing."""

    channel: Channel
    phase: str = "generating"
    began: float = field(default_factory=time.monotonic)
    sent: float = field(default_factory=time.monotonic)

    def __call__(self, done: int, total: int, tokens: int) -> None:
        now = time.monotonic()
        if now - self.sent < EVERY_SECONDS:
            return
        self.sent = now
        rate = round(tokens / (now - self.began), 1)
        self.channel.send("progress", phase=self.phase, done=done, total=total, unit="completions", rate=rate)


def silent(phase: str) -> Watch:
    return lambda done, total, tokens: None
