"""Line numbers of rows that are left out, few enough for an event: a file may have millions."""

from collections import defaultdict
from collections.abc import Sequence

from fettle.wording import quantity
from worker.training.process.channel import Channel

KEPT, SHOWN = 1000, 10


class Lines:
    """By reason: how many, and the first line numbers."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = defaultdict(int)
        self.first: dict[str, list[int]] = defaultdict(list)

    def add(self, reason: str, line: int) -> None:
        self.counts[reason] += 1
        if len(self.first[reason]) < KEPT:
            self.first[reason].append(line)

    def words(self, reason: str) -> str:
        """`line 3`, `lines 3, 7 and 12`, or the first few and how many more there are."""
        return words(self.first[reason], self.counts[reason])

    def left_out(self, reason: str, noun: str, what: str) -> str:
        """A sentence that says how many rows of this kind were left out; empty when there are none."""
        if not (count := self.counts.get(reason, 0)):
            return ""
        verb = "is" if count == 1 else "are"
        return f" {quantity(count, noun)} {what} {verb} left out ({self.words(reason)})."

    def data(self) -> dict[str, list[int]]:
        """For an event: `lines_<reason>`, where there are any."""
        return {f"lines_{reason}": list(lines) for reason, lines in self.first.items()}

    def to_json(self) -> dict[str, dict[str, object]]:
        return {reason: {"rows": count, "lines": self.first[reason]} for reason, count in self.counts.items()}


def words(lines: Sequence[int], count: int) -> str:
    shown = [str(line) for line in lines[:SHOWN]]
    if count == 1:
        return f"line {shown[0]}"
    if count > len(shown):
        return f"lines {', '.join(shown)} and {count - len(shown):,} more"
    return f"lines {', '.join(shown[:-1])} and {shown[-1]}"


def warn_of_known(lines: Lines, total: int, channel: Channel) -> None:
    """Of a validation file whose rows are trained on: what it measures is memory."""
    if count := lines.counts.get("known", 0):
        channel.event(
            f"{count:,} of the {total:,} rows of validation_file are in training_file too ({lines.words('known')}). "
            "Validation then measures how well these are remembered and cannot show overfitting. Use rows that are "
            "not trained on.",
            {"rows": count, "rows_in_file": total, **lines.data()},
            level="warn",
        )
