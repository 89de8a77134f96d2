"""Whether a training process still reports something."""

from dataclasses import dataclass
from typing import Literal

from fettle.wording import quantity


@dataclass
class StallWatch:
    """Times are seconds of a monotonic clock. limit: silence that is worth a warning; twice as much ends the run."""

    limit: float
    heard: float
    warned: bool = False

    def hear(self, now: float) -> None:
        self.heard, self.warned = now, False

    def verdict(self, now: float) -> Literal["warn", "end"] | None:
        """What the silence calls for, a warning only once."""
        silence = now - self.heard
        if silence >= 2 * self.limit:
            return "end"
        if silence >= self.limit and not self.warned:
            self.warned = True
            return "warn"
        return None

    def sentence(self, now: float) -> str:
        """Without its full stop."""
        minutes, seconds = divmod(round(now - self.heard), 60)
        span = quantity(minutes, "minute") if minutes else quantity(seconds, "second")
        return f"The training process has reported nothing for {span}"
