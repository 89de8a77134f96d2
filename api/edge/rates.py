"""How often one caller may ask: a token bucket each, in this process."""

import math
import time
from collections import OrderedDict

from fettle.errors import RateLimited

BURST = 60  # requests
PER_SECOND = 5.0
CALLERS_AT_MOST = 10_000  # the one that was quiet longest is forgotten first


class Rates:
    def __init__(self, burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self.burst, self.per_second = burst, per_second
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when

    def take(self, caller: str, now: float | None = None) -> None:
        """Raises RateLimited."""
        now = time.monotonic() if now is None else now
        left, since = self.buckets.pop(caller, (float(self.burst), now))
        left = min(float(self.burst), left + (now - since) * self.per_second)
        allowed = left >= 1
        self.buckets[caller] = (left - 1 if allowed else left, now)
        if len(self.buckets) > CALLERS_AT_MOST:
            self.buckets.popitem(last=False)
        if not allowed:
            seconds = max(1, math.ceil((1 - left) / self.per_second))
            raise RateLimited(
                f"Too many requests: this invitation may send {self.per_second:g} a second. Wait {seconds} s.",
                retry_after=seconds,
            )
