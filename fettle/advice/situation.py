"""What somebody has, and what they want: all that the advice depends on."""

from dataclasses import dataclass
from typing import Literal

Goal = Literal["task", "reasoning", "preference"]


@dataclass(frozen=True)
class Measured:
    """What the base model does already with the chosen reward. pass_at_1, pass_at_k: shares from 0 to 1."""

    pass_at_1: float
    pass_at_k: float
    k: int


@dataclass(frozen=True)
class Situation:
    """labels: prompts with a good completion. reasoned: labels that show their reasoning. prompts: with or without one.

    pairs: prompts with a better and a worse response. rankings: prompts with ranked responses. verifiable: a program
    can tell whether a response is right. accurate: the labels are right; None: not known. measured: None: not done.
    """

    goal: Goal = "task"
    prompts: int = 0
    labels: int = 0
    reasoned: int = 0
    pairs: int = 0
    rankings: int = 0
    verifiable: bool = False
    accurate: bool | None = None
    measured: Measured | None = None

    @property
    def promptable(self) -> int:
        """Prompts that a policy could be sampled on."""
        return max(self.prompts, self.labels, self.pairs, self.rankings)
