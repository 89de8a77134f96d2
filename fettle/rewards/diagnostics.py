"""A first look at rewards: what a batch of completions would teach, told before much has been spent on learning.

What a completion's reward is above its group's mean is all that a policy learns from (Shao et al. 2024, DeepSeekMath,
section 4.1): a group whose rewards are all equal is dead, and teaches nothing.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from fettle.wording import quantity

MOSTLY = 0.8  # share of dead groups, or of cut off completions, from which a run is slow to learn anything
SMALLEST_SPREAD = 1e-6  # rewards of a group that differ by less are equal but for rounding

Row = Mapping[str, Any]


class Warn(NamedTuple):
    code: str
    message: str


@dataclass(frozen=True)
class Spread:
    """Of the values that are known; None where none is."""

    mean: float | None
    std: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True)
class Diagnostics:
    """rewards: weighted sums. scores: by grader's name. groups: of at least two completions that have a reward.

    dead_groups: the share of groups whose rewards are all equal. errors, cut_off: shares of the completions.
    completion_length_mean: tokens.
    """

    completions: int
    groups: int
    rewards: Spread
    scores: dict[str, Spread]
    dead_groups: float | None
    errors: float
    cut_off: float
    completion_length_mean: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def diagnose(rows: Sequence[Row]) -> Diagnostics:
    """rows: `group`, `reward` (None where a grader failed), `scores`, `tokens` and `stop_reason` of each completion."""
    groups: dict[int, list[float]] = {}
    for row in rows:
        if row["reward"] is not None:
            groups.setdefault(row["group"], []).append(row["reward"])
    whole = [rewards for rewards in groups.values() if len(rewards) > 1]
    dead = sum(max(rewards) - min(rewards) < SMALLEST_SPREAD for rewards in whole)
    names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    return Diagnostics(
        completions=len(rows),
        groups=len(whole),
        rewards=spread([row["reward"] for row in rows]),
        scores={name: spread([row["scores"].get(name) for row in rows]) for name in names},
        dead_groups=dead / len(whole) if whole else None,
        errors=share([row["reward"] is None for row in rows]),
        cut_off=share([row["stop_reason"] == "length" for row in rows]),
        completion_length_mean=statistics.fmean(row["tokens"] for row in rows) if rows else 0.0,
    )


def spread(values: Sequence[float | None]) -> Spread:
    known = [value for value in values if value is not None]
    if not known:
        return Spread(None, None, None, None)
    return Spread(statistics.fmean(known), statistics.pstdev(known), min(known), max(known))


def share(answers: Sequence[bool]) -> float:
    return sum(answers) / len(answers) if answers else 0.0


def warnings(seen: Diagnostics, *, highest: float, errors_at_most: float) -> list[Warn]:
    """What stands in the way of learning, and the way out. highest: the reward if every function gives 1."""
    found = []
    if seen.errors > errors_at_most:
        found.append(
            Warn(
                "grader_errors",
                f"The graders failed on {seen.errors:.0%} of the completions. A job fails above {errors_at_most:.0%}. "
                "Fix the graders, or the rows that they cannot grade.",
            )
        )
    elif seen.completions and seen.errors == 1:
        found.append(
            Warn(
                "nothing_judged",
                "The graders failed on every completion. A job with these graders learns nothing and fails at its end. "
                "Fix the graders, or the rows that they cannot grade.",
            )
        )
    if (dead := dead_warning(seen, highest)) is not None:
        found.append(dead)
    if seen.cut_off >= MOSTLY:
        found.append(
            Warn(
                "cut_off",
                f"{seen.cut_off:.0%} of the completions were cut off at max_completion_tokens, probably before they "
                "gave an answer. Raise max_completion_tokens, or ask for shorter responses in the prompt.",
            )
        )
    return found


def dead_warning(seen: Diagnostics, highest: float) -> Warn | None:
    low, high = seen.rewards.min, seen.rewards.max
    if seen.dead_groups is None or low is None or high is None or seen.dead_groups < MOSTLY:
        return None
    if seen.dead_groups < 1:
        return Warn(
            "mostly_dead",
            f"In {seen.dead_groups:.0%} of the groups, all rewards are equal. The model learns only from the others. "
            f"{MORE_SPREAD}",
        )
    nothing = "the model will learn nothing"
    if high - low >= SMALLEST_SPREAD:
        return Warn(
            "no_spread",
            f"In every group, all rewards are equal, so {nothing}. {MORE_SPREAD}",
        )
    if low <= 0:
        return Warn(
            "nothing_earned",
            f"No completion earned a reward (every reward is {low:g}), so {nothing}. Use easier prompts, start from a "
            "model that supervised fine-tuning has trained on the task, or add a reward with partial credit.",
        )
    if low >= highest - SMALLEST_SPREAD:
        return Warn(
            "all_earned",
            f"Every completion earned the full reward ({low:g}), so {nothing}. Use harder prompts or a stricter "
            "reward.",
        )
    return Warn(
        "all_equal",
        f"Every completion got the same reward ({low:g}), so {nothing}. Use a reward that gives partial credit. If you "
        "already do, check what your graders receive.",
    )


MORE_SPREAD = (
    "Use prompts that the model gets right some of the time, a reward with partial credit, a larger group_size, or a "
    "higher temperature."
)


def highest(graders: Sequence[Mapping[str, Any]]) -> float:
    """The reward of a completion to which every grader gives 1. graders: what `rewards.check` gave."""
    return sum(max(0.0, float(entry["weight"])) for entry in graders)


def sentence(seen: Diagnostics) -> str:
    """For people: `reward 0.34 ± 0.47, all rewards equal in 25% of 16 groups`."""
    parts = []
    if seen.rewards.mean is not None:
        parts.append(f"reward {seen.rewards.mean:.3g} ± {seen.rewards.std:.3g}")
    if seen.dead_groups is not None:
        parts.append(f"all rewards equal in {seen.dead_groups:.0%} of {quantity(seen.groups, 'group')}")
    if seen.errors:
        parts.append(f"no reward for {seen.errors:.0%} of {quantity(seen.completions, 'completion')}")
    return ", ".join(parts)
