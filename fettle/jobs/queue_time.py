"""When a job starts, from what the jobs before it take. Pure."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fettle.wording import quantity


@dataclass(frozen=True)
class Start:
    """seconds: until the job starts; None: not known. message: why."""

    seconds: float | None
    message: str

    def to_json(self) -> dict[str, Any]:
        return {"seconds": None if self.seconds is None else round(self.seconds, 1), "message": self.message}


def start(slots: int, running: Sequence[float | None], ahead: Sequence[float | None], behind: int = 0) -> Start:
    """running: seconds that each still takes. ahead: seconds that each queued job will take, in their order.

    behind: queued jobs that were not looked at.
    """
    if len(running) < slots and not ahead and not behind:
        return Start(0.0, "A slot is free. The job would start at once.")
    jobs = f"{quantity(len(running), 'job')} running and {len(ahead) + behind} waiting"
    if behind:
        return Start(None, f"With {jobs} before it, the start of this job cannot be foreseen.")
    if any(each is None for each in (*running, *ahead)):
        return Start(None, f"There are {jobs}, and no job has finished yet to tell how long they take.")
    known = sorted(float(each or 0) for each in running)[-slots:]
    free = [0.0] * (slots - len(known)) + known
    heapq.heapify(free)
    for each in ahead:
        heapq.heapreplace(free, free[0] + float(each or 0))
    return Start(
        free[0], f"There are {jobs}, on {quantity(slots, 'slot')}. This assumes that they take what was estimated."
    )
