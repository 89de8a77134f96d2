"""Steps that teach nothing: nobody judged their completions, or all rewards of every group are equal.

Like the watch over reward hacking it knows only the summaries of stored steps, so that a resumed run says what an
undisturbed one would have said.
"""

from collections.abc import Mapping
from typing import Any

from fettle.rewards.diagnostics import Warn

DEAD_STEPS = 4  # in a row; a few equal groups are chance where few prompts make a step

Summary = Mapping[str, Any]  # of `fettle.rollouts.summaries`

FIX_GRADERS = "Read their errors in the rollouts and fix them. You can edit rewards while the job runs."
MORE_SPREAD = (
    "If all completions are right, there is nothing left to learn: stop the job, or use harder prompts. Otherwise use "
    "easier prompts, add a reward with partial credit, or lower learning_rate if the rewards fell before."
)


class LearningWatch:
    """Hand it every step in order. New rewards begin a new row of steps without a lesson."""

    def __init__(self) -> None:
        self.version = 0
        self.steps = self.unjudged = self.dead = 0  # of the whole job
        self.completions = 0
        self.unjudged_row = self.dead_row = 0  # steps in a row, up to now

    def see(self, step: Summary) -> list[Warn]:
        """What is to be told after this step, once for each row of such steps."""
        if step["reward_version"] != self.version:
            self.version, self.unjudged_row, self.dead_row = step["reward_version"], 0, 0
        nobody, dead = step["reward"] is None, step.get("dead_groups") == 1
        self.steps += 1
        self.completions += step["errors"] if nobody else 0
        self.unjudged, self.dead = self.unjudged + nobody, self.dead + dead
        self.unjudged_row = self.unjudged_row + 1 if nobody else 0
        self.dead_row = self.dead_row + 1 if dead else 0
        if self.unjudged_row == 1:
            return [
                Warn(
                    "nothing_judged",
                    f"The graders failed on all {step['errors']} completions of this step, so the model learned "
                    f"nothing. {FIX_GRADERS}",
                )
            ]
        if self.dead_row == DEAD_STEPS:
            return [
                Warn(
                    "dead_steps",
                    f"In the last {DEAD_STEPS} steps, all rewards of every group were equal "
                    f"(mean reward {step['reward']['mean']:.3g}), so the model learned nothing. {MORE_SPREAD}",
                )
            ]
        return []

    @property
    def nothing_judged(self) -> bool:
        """Of the whole job."""
        return 0 < self.steps == self.unjudged

    def conclude(self) -> list[Warn]:
        """What is to be told at the job's end."""
        found = []
        if self.unjudged:
            found.append(
                Warn(
                    "ended_with_unjudged_steps",
                    f"In {self.unjudged} of the job's {self.steps} steps, the graders failed on every completion, so "
                    "the model learned nothing from them. Fix the graders before the next job.",
                )
            )
        if self.dead_row >= min(DEAD_STEPS, self.steps) > 0:
            found.append(
                Warn(
                    "ended_dead",
                    f"In the last {self.dead_row} of the job's {self.steps} steps, all rewards of every group were "
                    f"equal, so the model learned nothing from them. {MORE_SPREAD}",
                )
            )
        elif 2 * self.dead > self.steps:
            found.append(
                Warn(
                    "mostly_dead_steps",
                    f"In {self.dead} of the job's {self.steps} steps, all rewards of every group were equal. The model "
                    f"learned only from the others. {MORE_SPREAD}",
                )
            )
        return found
