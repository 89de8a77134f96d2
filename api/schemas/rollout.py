from typing import Annotated, Any

from pydantic import Field, model_validator

from fettle.methods.common import ITEMS_AT_MOST
from fettle.schemas.strict import Strict
from models import RewardVersion


class RewardsEdit(Strict):
    """The body of PATCH …/rewards: one of the three, as in the job's method."""

    grader: dict[str, Any] | None = None
    graders: dict[str, Any] | Annotated[list[dict[str, Any]], Field(max_length=ITEMS_AT_MOST)] | None = None
    reward_functions: Annotated[list[str | dict[str, Any]], Field(max_length=ITEMS_AT_MOST)] | None = None

    @model_validator(mode="after")
    def one_judge(self) -> "RewardsEdit":
        if len(self.judges()) != 1:
            raise ValueError("give one of 'grader', 'graders' and 'reward_functions'")
        return self

    def judges(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


def rollout_object(row: dict[str, Any]) -> dict[str, Any]:
    return {"object": "fine_tuning.job.rollout", **row}


def rewards_object(version: RewardVersion) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.rewards",
        "fine_tuning_job_id": version.job_id,
        "version": version.version,
        "created_at": int(version.created_at),
        "reward_functions": version.graders,
    }
