"""Which method comes first for a situation, why, and what to collect so that another one does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from fettle.advice.rules import FEW_LABELS, FEWEST, REQUIREMENTS, RULES, STEPS, WARM_UP, Choice
from fettle.advice.situation import Situation
from fettle.wording import quantity

PAIRS = 300  # from which held-out preferences moved in our own benchmarks


@dataclass(frozen=True)
class Ranked:
    """points: of the rules that apply. missing: why the choice is not possible; empty: it is."""

    choice: Choice
    points: int
    reasons: tuple[tuple[int, str], ...]
    missing: tuple[str, ...]

    @property
    def possible(self) -> bool:
        return not self.missing

    def to_json(self, rank: int) -> dict[str, Any]:
        return {
            "rank": rank,
            "method": self.choice,
            "jobs": list(STEPS[self.choice]),
            "possible": self.possible,
            "reasons": [
                {"effect": "for" if points >= 0 else "against", "message": message} for points, message in self.reasons
            ],
            "missing": list(self.missing),
        }


def rank(situation: Situation) -> list[Ranked]:
    """Every choice, best first; those that are not possible come last."""
    return sorted((look(choice, situation) for choice in STEPS), key=lambda each: (not each.possible, -each.points))


def look(choice: Choice, situation: Situation) -> Ranked:
    rules = [rule for rule in RULES if rule.choice == choice and rule.when(situation)]
    missing = [each.message for each in REQUIREMENTS if each.choice == choice and not each.fulfilled(situation)]
    return Ranked(
        choice, sum(rule.points for rule in rules), tuple((rule.points, rule.message) for rule in rules), tuple(missing)
    )


@dataclass(frozen=True)
class Step:
    """Something to collect. then: the choice that would come first."""

    message: str
    then: Choice


def steps_up(situation: Situation) -> list[Step]:
    """What to collect so that another choice comes first: each is tried on the same rules."""
    now = rank(situation)[0].choice
    found: list[Step] = []
    for what, richer in improvements(situation):
        then = rank(richer)[0].choice
        if then not in (now, "collect_data", "nothing_to_learn") and then not in [step.then for step in found]:
            found.append(Step(what, then))
    return found


def improvements(s: Situation) -> Iterator[tuple[str, Situation]]:
    if not s.verifiable:
        yield "Write a reward function or a grader that checks the answers", replace(s, verifiable=True)
    if s.promptable < FEWEST:
        wanted = quantity(FEWEST - s.promptable, "more prompt")
        yield f"Collect {wanted}", replace(s, prompts=FEWEST)
        if not s.verifiable:
            what = f"Collect {wanted} and write a reward function or a grader that checks the answers"
            yield what, replace(s, prompts=FEWEST, verifiable=True)
    if s.labels < WARM_UP:
        wanted = quantity(WARM_UP - s.labels, "row")
        yield f"Write completions for {wanted}", replace(s, labels=WARM_UP)
        if s.goal == "reasoning":
            what = f"Write completions that show their reasoning for {wanted}"
            yield what, replace(s, labels=WARM_UP, reasoned=WARM_UP)
    if s.labels < FEW_LABELS:
        more = FEW_LABELS - s.labels
        yield f"Collect {more:,} more accurate completions", replace(s, labels=FEW_LABELS, accurate=True)
    elif s.accurate is False:
        yield "Correct the labels", replace(s, accurate=True)
    if s.pairs < FEWEST:
        yield f"Have people pick the better of two responses for about {PAIRS} prompts", replace(s, pairs=PAIRS)
    if s.rankings < FEWEST:
        yield f"Have people rank responses for about {PAIRS} prompts", replace(s, rankings=PAIRS)


def to_json(situation: Situation) -> dict[str, Any]:
    return {
        "methods": [each.to_json(number) for number, each in enumerate(shown(situation), 1)],
        "collect": [{"message": f"{step.message}.", "then": step.then} for step in steps_up(situation)],
    }


def shown(situation: Situation) -> list[Ranked]:
    """The two choices that are no method appear only where they come first."""
    first, *others = rank(situation)
    return [first, *(each for each in others if STEPS[each.choice])]
