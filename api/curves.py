"""Thinned curves of jobs, kept: whoever opens a long job's page again waits only for the steps that came since."""

from collections import OrderedDict
from dataclasses import dataclass

KEPT = 64  # curves
KEPT_BYTES = 512 << 10  # of one; larger ones are computed again


@dataclass(frozen=True)
class Curve:
    """seq: of the last metrics event in it. body: the whole answer."""

    seq: int
    body: bytes


class Curves:
    def __init__(self) -> None:
        self.kept: OrderedDict[tuple[str, int], Curve] = OrderedDict()

    def get(self, job_id: str, points: int) -> Curve | None:
        if (found := self.kept.get((job_id, points))) is not None:
            self.kept.move_to_end((job_id, points))
        return found

    def keep(self, job_id: str, points: int, curve: Curve) -> None:
        if len(curve.body) > KEPT_BYTES:
            return
        self.kept[job_id, points] = curve
        while len(self.kept) > KEPT:
            self.kept.popitem(last=False)
