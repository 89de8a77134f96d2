"""Work with an end to its time and its memory, as those see it who have it done: `fettle.isolation` does it."""

from typing import Any, Protocol


class Overrun(Exception):
    """The work took too long."""


class Exhausted(Exception):
    """The work took too much memory, or the process that did it died."""


class Runner(Protocol):
    async def run(
        self, work: str, project: str, argument: Any = None, content: bytes = b"", *, seconds: float, memory: int
    ) -> bytes:
        """What the work returns. Raises its FettleError; Overrun, Exhausted; Unavailable when no slot is free."""
        ...
