"""When a job starts, from what the jobs before it take. Pure."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from fettle.estimates.forecast import Interval
from fettle.wording import quantity


@dataclass(frozen=True)
class Start:
    """seconds: until the job starts; None: not known. message: why."""

    seconds: float | None
    message: str

    def to_json(self) -> dict[str, Any]:
        return {"seconds": None if self.seconds is None else round(self.seconds, 1), "message": self.message}


def start(slots: int, running: Sequence[Interval | None], ahead: Sequence[Interval | None], behind: int = 0) -> Start:
    """Of a job after all others. running: what each still takes. ahead: what each queued job will take, in their order.

    behind: queued jobs that were not looked at.
    """
    if len(running) < slots and not ahead and not behind:
        return Start(0.0, "A slot is free. The job would start at once.")
    jobs = f"{quantity(len(running), 'job')} running and {len(ahead) + behind} waiting"
    if behind:
        return Start(None, f"With {jobs} before it, the start of this job cannot be foreseen.")
    found = starts(slots, running, ahead)
    if len(found) <= len(ahead):
        return Start(None, f"There are {jobs}, and no job has finished yet to tell how long they take.")
    why = f"There are {jobs}, on {quantity(slots, 'slot')}. This assumes that they take as long as estimated."
    return Start(found[-1].likely, why)


def starts(slots: int, running: Sequence[Interval | None], ahead: Sequence[Interval | None]) -> list[Interval]:
    """Seconds until each of `ahead` starts, and until the one behind them does: as far as it is known."""
    busy = [each for each in running if each is not None]
    if not slots or len(busy) < len(running):
        return []
    known = list(takewhile(lambda each: each is not None, ahead))
    bounds = (turns(slots, *([getattr(each, end) for each in some] for some in (busy, known))) for end in ENDS)
    return [Interval(*each) for each in zip(*bounds, strict=True)]


ENDS = ("likely", "low", "high")


def turns(slots: int, running: Sequence[float], ahead: Sequence[float]) -> list[float]:
    """The slot that is free first takes the next."""
    free = ([0.0] * slots + sorted(running))[-slots:]
    heapq.heapify(free)
    return [heapq.heapreplace(free, free[0] + each) for each in ahead] + [free[0]]
