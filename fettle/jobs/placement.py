"""Which queued job starts next, and on which slot. Pure: everything that decides is an argument.

The highest class goes first: a job's priority, and one more for every 12 hours that it has waited, without end, so
that every job comes first at last. Within a class the lowest weight goes first:

    weight = expected seconds × (what the project has used lately + 600 s) ÷ (1 + waited ÷ 1 h)

Short jobs pass long ones, and a project that has used little passes one that has used much. `bench/scheduler.py`
compares this with other orders; docs/decisions/0016 says why it is this one.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fettle.wording import quantity

Priority = Literal["low", "normal", "high"]
CLASSES: Mapping[Priority, int] = {"low": 0, "normal": 1, "high": 2}
RAISED_AFTER = 12 * 3600.0  # seconds of waiting after which a job counts as one class higher
WINDOW = 3600.0  # seconds of the past whose use counts, and the most that a running job adds for what it still takes
LEAST_SECONDS = 60.0  # that a job is expected to take: below this the start itself is most of it
FREE_USE = 600.0  # slot-seconds: below this, what projects have used hardly tells them apart
PATIENCE = 3600.0  # seconds of waiting that halve a job's weight
GIB = 1 << 30


def name_of(priority: int) -> Priority:
    return next(name for name, number in CLASSES.items() if number == priority)


@dataclass(frozen=True)
class Need:
    """What a job asks of a slot. gpus, gpu_memory_gib: at least so many; None: any slot will do, a CPU as well."""

    gpus: int | None = None
    gpu_memory_gib: float | None = None
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Offer:
    """A slot. gpus: 0 on a CPU. memory: bytes of its device, or of its smallest; None: not known."""

    host: str | None = None
    gpus: int = 0
    memory: int | None = None
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Candidate:
    """A queued job. created_at: seconds since 1970. seconds: that it is expected to take; None: not known."""

    id: str
    project_id: str
    created_at: float
    seconds: float | None = None
    priority: int = CLASSES["normal"]
    need: Need = Need()

    @property
    def expected(self) -> float:
        return max(self.seconds or LEAST_SECONDS, LEAST_SECONDS)

    @property
    def cost(self) -> float:
        """Slot-seconds, weighted by GPUs."""
        return self.expected * max(1, self.need.gpus or 1)

    def weight(self, now: float) -> float:
        """Without the project's part."""
        return self.expected / (1 + max(0.0, now - self.created_at) / PATIENCE)


def rank(priority: int, created_at: float, now: float) -> int:
    """A job's class: its priority, raised with its age."""
    return priority + int(max(0.0, now - created_at) // RAISED_AFTER)


def charge(seconds: float | None) -> float:
    """What a running job adds to its project's use. seconds: that it still takes; None: not known."""
    return min(WINDOW, max(LEAST_SECONDS, seconds or LEAST_SECONDS))


def order(candidates: Iterable[Candidate], used: Mapping[str, float], now: float) -> Iterator[Candidate]:
    """As they start if no other job comes. used: slot-seconds by project, lately and expected of what runs."""
    ranks: dict[int, dict[str, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for each in candidates:
        ranks[rank(each.priority, each.created_at, now)][each.project_id].append(each)
    charged: dict[str, float] = defaultdict(float, used)
    for _, lines in sorted(ranks.items(), reverse=True):
        heap: list[tuple[float, float, str]] = []

        def push(project: str, line: list[Candidate], heap: list[tuple[float, float, str]] = heap) -> None:
            first = line[-1]
            heapq.heappush(heap, (first.weight(now) * (charged[project] + FREE_USE), first.created_at, project))

        for project, line in lines.items():
            line.sort(key=lambda each: (each.weight(now), each.created_at, each.id), reverse=True)
            push(project, line)
        while heap:
            _, _, project = heapq.heappop(heap)
            first = lines[project].pop()
            charged[project] += first.cost
            yield first
            if lines[project]:
                push(project, lines[project])


def lacks(need: Need, offer: Offer) -> str | None:
    """What the slot does not have, in words; None: the job can run there."""
    if need.gpus is not None and offer.gpus < need.gpus:
        has = quantity(offer.gpus, "GPU") if offer.gpus else "no GPU"
        return f"it asks for {quantity(need.gpus, 'GPU')}, and the slot has {has}"
    if need.gpu_memory_gib is not None:
        if offer.gpus == 0:
            return f"it asks for {need.gpu_memory_gib:g} GiB of GPU memory, and the slot has no GPU"
        if offer.memory is not None and offer.memory < need.gpu_memory_gib * GIB:
            return (
                f"it asks for {need.gpu_memory_gib:g} GiB of GPU memory, and the GPU has {offer.memory / GIB:.1f} GiB"
            )
    if missing := sorted(need.labels - offer.labels):
        return f"it asks for the label {missing[0]!r}, and the worker does not have it"
    return None


def nearest_miss(need: Need, offers: Sequence[Offer]) -> str | None:
    """Why no slot can ever run the job, said of the slot that comes closest; None: one can, or there is none."""
    reasons = [(lacks(need, offer), offer) for offer in offers]
    if not reasons or any(reason is None for reason, _ in reasons):
        return None
    closest = max(reasons, key=lambda found: closeness(need, found[1]))
    return closest[0]


def closeness(need: Need, offer: Offer) -> tuple[int, int, float]:
    return (len(need.labels & offer.labels), min(offer.gpus, need.gpus or 1), float(offer.memory or 0))
