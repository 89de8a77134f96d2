from typing import Annotated, Any

from pydantic import Field, StringConstraints

from fettle.advice.situation import Goal
from fettle.jobs.dry_runs import PROMPTS, PROMPTS_AT_MOST, SAMPLES_AT_MOST
from fettle.methods.common import ITEMS_AT_MOST
from fettle.schemas.strict import Strict

Count = Annotated[int, Field(ge=0, le=10**12)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=300)]
SAMPLES = 8


class Counts(Strict):
    """Rows that there are, of each kind. reasoned: labels that show their reasoning."""

    prompts: Count = 0
    labels: Count = 0
    reasoned: Count = 0
    pairs: Count = 0
    rankings: Count = 0


class AdviseCreate(Strict):
    """The body of POST /v1/fine_tuning/advise.

    file: a dataset to count. verifiable: whether a program can tell if a response is right; unset: yes if a reward is
    given. accurate: whether the labels are right. base: a model to measure with the reward. pass_threshold: the reward
    from which a completion is right; unset: the highest that there is. samples: of each prompt, the k of pass@k.
    """

    file: Id | None = None
    counts: Counts | None = None
    goal: Goal | None = None
    verifiable: bool | None = None
    accurate: bool | None = None
    base: Id | None = None
    grader: dict[str, Any] | None = None
    graders: dict[str, Any] | Annotated[list[dict[str, Any]], Field(max_length=ITEMS_AT_MOST)] | None = None
    reward_functions: Annotated[list[str | dict[str, Any]], Field(max_length=ITEMS_AT_MOST)] | None = None
    pass_threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None
    prompts: Annotated[int, Field(ge=1, le=PROMPTS_AT_MOST)] = PROMPTS
    samples: Annotated[int, Field(ge=2, le=SAMPLES_AT_MOST)] = SAMPLES
    max_completion_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @property
    def rewards(self) -> dict[str, Any]:
        """What grades completions, by its parameter; empty: nothing does."""
        names = ("grader", "graders", "reward_functions")
        return {name: value for name in names if (value := getattr(self, name))}
