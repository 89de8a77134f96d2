"""What the base model earns before any training: pass@1 and pass@k, with and without an instruction to reason."""

from dataclasses import dataclass
from typing import Any

from fettle.advice import pass_at_k
from fettle.advice.situation import Measured

INSTRUCTION = (
    "Think step by step between <think> and </think>. Then give only the final answer between <answer> and </answer>."
)
HELPS = 0.1  # pass@1 that an instruction must add; less is within the noise of a small sample

Line = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """groups: completions that were graded and how many of them were right, of each prompt."""

    groups: list[tuple[int, int]]
    reward_mean: float | None
    cut_off: float

    @classmethod
    def of(cls, found: Line) -> "Variant":
        """found: what a worker says to a dry run that counts right completions."""
        return cls([(n, c) for n, c in found["right"]], found["rewards"]["mean"], found["cut_off"])

    @property
    def completions(self) -> int:
        return sum(n for n, _ in self.groups)

    def measured(self, k: int) -> Measured | None:
        """None where too few completions were graded."""
        first, any_of_k = pass_at_k.mean(self.groups, 1), pass_at_k.mean(self.groups, k)
        return None if first is None or any_of_k is None else Measured(first, any_of_k, k)

    def to_json(self, k: int) -> Line:
        known = self.measured(k)
        return {
            "completions": self.completions,
            "right": sum(c for _, c in self.groups),
            "pass_at_1": known and round(known.pass_at_1, 4),
            "pass_at_k": known and round(known.pass_at_k, 4),
            "reward_mean": self.reward_mean,
            "cut_off": self.cut_off,
        }


def better(plain: Variant, instructed: Variant, k: int) -> Measured | None:
    """What the advice goes by: the better of the two, for an instruction can be kept while training."""
    known = [each for each in (plain.measured(k), instructed.measured(k)) if each is not None]
    return max(known, key=lambda each: (each.pass_at_k, each.pass_at_1), default=None)


def sentence(plain: Variant, instructed: Variant, k: int) -> str:
    first, second = plain.measured(k), instructed.measured(k)
    if first is None or second is None:
        return f"Too few completions were graded to estimate pass@{k}."
    said = (
        f"The base model is right in {first.pass_at_1:.0%} of its completions, and {first.pass_at_k:.0%} of the "
        f"prompts have a right one among {k}. With an instruction to reason it is right in {second.pass_at_1:.0%} and "
        f"{second.pass_at_k:.0%}."
    )
    gain = second.pass_at_1 - first.pass_at_1
    if gain >= HELPS:
        return f"{said} Reasoning helps. Keep the instruction in your prompts."
    return f"{said} Reasoning makes it worse." if gain <= -HELPS else f"{said} Reasoning makes no clear difference."


def to_json(plain: Variant, instructed: Variant, k: int, prompts: int, threshold: float) -> Line:
    return {
        "prompts": prompts,
        "k": k,
        "pass_threshold": threshold,
        "instruction": INSTRUCTION,
        "without_instruction": plain.to_json(k),
        "with_instruction": instructed.to_json(k),
        "message": sentence(plain, instructed, k),
    }
