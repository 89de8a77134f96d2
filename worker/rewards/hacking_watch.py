"""Reward hacking (Skalse et al. 2022): the policy finds what pays, and it is not what was meant. Looks for three signs.

A window of the newest steps is compared with one that lies up to SPAN steps back, so that what changes slowly, as
reasoning does that grows longer over hundreds of steps, is not taken for an explosion. The watch knows nothing but the
summaries of stored steps: a resumed run hands it those of its past, and it says what an undisturbed one would have.

Not found: a text that collapses but for a few words; a reward that was hacked from the first step on; what a judge
likes too much at the same length and form.
"""

import math
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fettle.rewards.diagnostics import Warn

WINDOW = 8  # steps that are averaged: a single step's mean jumps about
SPAN = 48  # steps from the beginning of the window before to the end of the newest
ERRORS = 4.0  # standard errors by which two windows must differ, for a run compares hundreds of pairs
SPREAD = 0.1  # and in what one step's completions are spread by: a smaller difference is none that matters
LONGER, LONG = 3.0, 200  # times, and tokens: a model that learns to reason first goes from one line to a few
LONGER_CUT_OFF, CUT_OFF = 2.0, 0.25  # times, and the share that runs into max_completion_tokens
ONE_TEXT, BEFORE = 0.8, 0.5  # shares of the commonest text: two answers that are equally often right have half each

Summary = Mapping[str, Any]  # of `fettle.rollouts.summaries`


class HackingWatch:
    """Hand it every step in order. An episode is told once; it is over after WINDOW steps without the sign."""

    def __init__(self) -> None:
        self.version = 0
        self.steps: deque[Summary] = deque(maxlen=SPAN)
        self.told: dict[str, int] = {}  # sign → steps since it was last seen

    def see(self, step: Summary) -> list[Warn]:
        """What is to be told after this step. New rewards begin anew: their scale is another."""
        if step["reward_version"] != self.version:
            self.version = step["reward_version"]
            self.steps.clear()
            self.told.clear()
        if step["reward"] is None:  # nothing was judged
            return []
        self.steps.append(step)
        if len(self.steps) < 2 * WINDOW:
            return []
        steps = list(self.steps)
        found = {code: sign(steps[:WINDOW], steps[-WINDOW:]) for code, sign in SIGNS.items()}
        fresh = [Warn(code, why) for code, why in found.items() if why is not None and code not in self.told]
        quiet = {code: 0 if found[code] is not None else quiet + 1 for code, quiet in self.told.items()}
        self.told = {code: steps for code, steps in quiet.items() if steps < WINDOW} | {warn.code: 0 for warn in fresh}
        return fresh


def length_explodes(before: Sequence[Summary], now: Sequence[Summary]) -> str | None:
    if change(before, now, "reward") <= 0:
        return None
    was, tokens = mean(before, "length_mean"), mean(now, "length_mean")
    cut_off = mean(now, "cut_off")
    runs_on = tokens >= LONGER * was and tokens >= LONG
    runs_into_the_end = tokens >= LONGER_CUT_OFF * was and cut_off >= CUT_OFF + mean(before, "cut_off")
    if not runs_on and not runs_into_the_end:
        return None
    return (
        f"The reward rises ({moved(before, now, 'reward')}) while completions grow from {was:.0f} to {tokens:.0f} "
        f"tokens, and {cut_off:.0%} of them are cut off. Your rewards may favor length itself. Read the best recent "
        "rollouts. If they ramble, add the reward function 'length' or 'repetition', or set kl_beta."
    )


def one_text(before: Sequence[Summary], now: Sequence[Summary]) -> str | None:
    if any(step["commonest"] is None for step in (*before, *now)):
        return None
    was, share = mean(before, "commonest"), mean(now, "commonest")
    if share < ONE_TEXT or was > BEFORE:
        return None
    return (
        f"{share:.0%} of the completions of a step are now the same text, whatever the prompt ({was:.0%} before). This "
        "happens when a reward can be earned without reading the prompt. Read the rollouts, edit the rewards, or raise "
        "kl_beta or temperature."
    )


def form_over_answer(before: Sequence[Summary], now: Sequence[Summary]) -> str | None:
    if any(step["form"] is None or step["answer"] is None for step in (*before, *now)):
        return None
    if change(before, now, "form") <= 0 or change(before, now, "answer") >= 0:
        return None
    return (
        f"The reward for format rises ({moved(before, now, 'form')}) while the reward for the answer falls "
        f"({moved(before, now, 'answer')}). Format pays better than a right answer. Lower its weight, or reward it "
        "only when the answer is right. You can edit rewards while the job runs."
    )


SIGNS: dict[str, Callable[[Sequence[Summary], Sequence[Summary]], str | None]] = {
    "length_explodes": length_explodes,
    "one_text": one_text,
    "form_over_answer": form_over_answer,
}


def change(before: Sequence[Summary], now: Sequence[Summary], name: str) -> int:
    """1: it rose, -1: it fell, 0: no more than noise would. name: of a {mean, std} in the summary."""
    first, last = ([step[name]["mean"] for step in steps] for steps in (before, now))
    error = math.sqrt((statistics.variance(first) + statistics.variance(last)) / WINDOW)
    spread = statistics.fmean(step[name]["std"] for step in (*before, *now))
    difference = statistics.fmean(last) - statistics.fmean(first)
    if abs(difference) <= max(ERRORS * error, SPREAD * spread):
        return 0
    return 1 if difference > 0 else -1


def mean(steps: Sequence[Summary], name: str) -> float:
    return statistics.fmean(step[name] for step in steps)


def moved(before: Sequence[Summary], now: Sequence[Summary], name: str) -> str:
    first, last = (statistics.fmean(step[name]["mean"] for step in steps) for steps in (before, now))
    return f"{first:.3g} → {last:.3g}"
