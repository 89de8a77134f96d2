"""What a training file came to when it was read."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.training.lines import Lines

if TYPE_CHECKING:
    from worker.training.data.prompts import Prompts


@dataclass(frozen=True)
class Source:
    """The training file as it was read. rows: its lines, where these were counted. examples: what they hold, a ranking
    several. kept: examples that are trained on. supervised_tokens: of these, for a method whose loss is over tokens.
    """

    examples: int = 0
    kept: int = 0
    lines: Lines = field(default_factory=Lines)
    supervised_tokens: int | None = None
    rows: int | None = None

    @property
    def split(self) -> bool:
        """Whether rows were taken apart, because a chat template rewrites earlier turns."""
        return self.supervised_tokens is not None and self.rows is not None and self.rows != self.examples

    @classmethod
    def of_prompts(cls, found: "Prompts", *, rows: bool = False) -> "Source":
        return cls(found.total, len(found.dataset), found.lines, rows=found.total if rows else None)
