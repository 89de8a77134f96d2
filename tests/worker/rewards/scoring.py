"""A job with rewards whose completions are scored, as the supervisor has them scored."""

from typing import Any, cast

from sqlalchemy import select

from fettle.jobs import reward_versions
from fettle.rewards.grader_fields import check
from fettle.settings import Settings
from models import Event, RolloutChunk
from worker.attempts.attempt import Attempt
from worker.jobs.training_process import Child
from worker.rewards import open_graders
from worker.rewards.rollout_recorder import RolloutRecorder

Line = dict[str, Any]
LONGER = "def reward(prompt, completion, example):\n    print('saw', completion)\n    return len(completion) / 10\n"
MEANS: Line = {**open_graders.resources(Settings(_env_file=None)), "patience": 0}
BROKEN = "def reward(prompt, completion, example):\n    return {'a': 1}[completion]\n"


class Heard:
    """Of a child, only what is said to it."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def say(self, line: Line) -> None:
        self.lines.append(line)


def batch(*completions: str) -> list[Line]:
    messages = [{"role": "user", "content": "1 + 1 ="}]
    return [
        {
            "group": 0,
            "messages": messages,
            "item": {"answer": "2"},
            "completion": completion,
            "tokens": len(completion),
            "stop_reason": "stop",
        }
        for completion in completions
    ]


async def with_rewards(attempt: Attempt, *functions: Any) -> tuple[RolloutRecorder, Heard]:
    async with attempt.resources.db.transaction() as session:
        await reward_versions.add(session, attempt.job.id, check({"reward_functions": list(functions)}))
    child = Heard()
    return RolloutRecorder(attempt, cast(Child, child)), child


async def score(recorder: RolloutRecorder, step: int, *completions: str, purpose: str = "train") -> None:
    recorder.score({"type": "score", "step": step, "purpose": purpose, "rollouts": batch(*completions)})
    assert recorder.scoring is not None
    await recorder.scoring


async def stored(attempt: Attempt) -> list[RolloutChunk]:
    async with attempt.resources.db.snapshot() as session:
        return list(await session.scalars(select(RolloutChunk).where(RolloutChunk.job_id == attempt.job.id)))


async def events_of(attempt: Attempt, key: str) -> list[Event]:
    """Those whose data has this key, oldest first."""
    async with attempt.resources.db.snapshot() as session:
        found = await session.scalars(select(Event).where(Event.job_id == attempt.job.id).order_by(Event.seq))
        return [event for event in found if key in (event.data or {})]
