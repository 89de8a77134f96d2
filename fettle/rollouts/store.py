"""Every completion of a job: a Parquet chunk in storage for each step, and an index row for each chunk."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.rollouts.rows import Row, from_parquet, identity
from fettle.storage import Missing, Storage
from models import RolloutChunk


@dataclass(frozen=True)
class RolloutFilter:
    """Which rollouts: of one step, with a reward from `min_reward` up to `max_reward`, both ends included.

    reward_version: judged by this one. error: True for those that a grader failed on, False for the others.
    prompt: the messages that they answer.
    """

    step: int | None = None
    min_reward: float | None = None
    max_reward: float | None = None
    reward_version: int | None = None
    error: bool | None = None
    prompt: Any = None

    @property
    def by_reward(self) -> bool:
        return self.min_reward is not None or self.max_reward is not None

    def matches(self, each: Row) -> bool:
        if self.reward_version not in (None, each["reward_version"]):
            return False
        if self.error not in (None, bool(each["errors"])):
            return False
        if self.prompt not in (None, each["prompt"]):
            return False
        if not self.by_reward:
            return True
        low = float("-inf") if self.min_reward is None else self.min_reward
        high = float("inf") if self.max_reward is None else self.max_reward
        return each["reward"] is not None and low <= each["reward"] <= high

    def may_match(self, chunk: RolloutChunk) -> bool:
        """False: no row of the chunk is wanted."""
        low, high = chunk.summary["reward_min"], chunk.summary["reward_max"]
        if self.reward_version not in (None, chunk.summary["reward_version"]):
            return False
        if not self.by_reward:
            return True
        if low is None:
            return False
        return not (
            (self.min_reward is not None and high < self.min_reward)
            or (self.max_reward is not None and low > self.max_reward)
        )


async def chunks(session: AsyncSession, job_id: str, wanted: RolloutFilter) -> list[RolloutChunk]:
    """By step."""
    statement = select(RolloutChunk).where(RolloutChunk.job_id == job_id).order_by(RolloutChunk.step)
    if wanted.step is not None:
        statement = statement.where(RolloutChunk.step == wanted.step)
    return [chunk for chunk in await session.scalars(statement) if wanted.may_match(chunk)]


async def content_of(storage: Storage, chunk: RolloutChunk) -> bytes | None:
    """None when it was deleted meanwhile, or replaced by another attempt at the step."""
    try:
        return await storage.read(chunk.storage_key)
    except Missing:
        return None


def matching_rows(content: bytes, wanted: RolloutFilter) -> list[Row]:
    """The rows of a chunk that are wanted, each with its id."""
    return [{"id": identity(each), **each} for each in from_parquet(content) if wanted.matches(each)]
