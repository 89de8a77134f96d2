"""Which of the waiting requests join the running batches next."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from worker.engine.requests import Request

MAX_ROWS = 64  # of one base; beyond it a step's time grows with the rows, and nobody gains
MAX_POSITIONS = 131_072  # of key-value cache: 19 GB for an 8 B model in bf16, next to its 16 GB of weights
MAX_OVERTAKEN = 16  # requests that pass one for which there is no room yet; then everybody waits with it
BACKGROUND_ROWS = 4  # that run at a time: what is running already slows those who come after it
BACKGROUND_TURN = 512  # looks without a turn, until one background request joins in spite of others
PADDING, FREE_PADDING = 1.5, 64  # positions per token that prompts which are read together may take, and tokens beyond


@dataclass(frozen=True)
class Load:
    """What the running batch of one base holds, or will."""

    rows: int = 0
    width: int = 0  # positions of its widest row

    def plus(self, request: Request) -> "Load":
        return Load(self.rows + request.sampling.n, max(self.width, request.width))

    @property
    def positions(self) -> int:
        return self.rows * self.width


def admit(
    waiting: deque[Request], loads: Mapping[str, Load], reading: Collection[str] = (), running: Collection[Request] = ()
) -> dict[str, list[Request]]:
    """Takes what joins now, oldest first, by base. loads: of the bases that run; reading: whose next turn comes later;
    running: all that is decoded or read. Background requests join while nobody else is here, few at a time; among
    others one joins now and then.

    Cancelled requests are thrown out on the way. One that does not fit is passed by others a limited number of times,
    so it never starves. One that is too large for any batch has the engine to itself.
    """
    now = dict(loads)
    admitted: dict[str, list[Request]] = {}
    blocked: list[Request] = []
    background = sum(each.sampling.n for each in running if each.background)
    live = any(not each.background and not each.cancelled for each in (*running, *waiting))
    for request in list(waiting):
        if request.cancelled:
            waiting.remove(request)
            continue
        base = request.base.name
        if any(other.overtaken >= MAX_OVERTAKEN for other in blocked):
            break
        if request.background and not may_join(request, background, live):
            request.kept_back += 1
            continue
        if base in reading:
            continue
        wanted = now | {base: now.get(base, Load()).plus(request)}
        if not fits(wanted, base) and any(load.rows for load in now.values()):
            blocked.append(request)
            continue
        if padded([len(each.prompt) for each in (*admitted.get(base, ()), request)]):
            continue
        waiting.remove(request)
        background += request.sampling.n * request.background
        now = wanted
        admitted.setdefault(base, []).append(request)
        for other in blocked:
            other.overtaken += 1
    return admitted


def may_join(request: Request, background: int, live: bool) -> bool:
    """background: rows of such requests that run. live: whether others are here."""
    if live:
        return background == 0 and request.kept_back >= BACKGROUND_TURN
    return background < BACKGROUND_ROWS


def fits(loads: Mapping[str, Load], base: str) -> bool:
    return loads[base].rows <= MAX_ROWS and sum(load.positions for load in loads.values()) <= MAX_POSITIONS


def padded(lengths: Sequence[int]) -> bool:
    """Whether prompts of such different lengths are better not read together."""
    return max(lengths) * len(lengths) > PADDING * sum(lengths) + FREE_PADDING
