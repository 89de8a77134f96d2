"""The supervisor's side of rewards: scored by a process of its own, answered, stored, edited, given up."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from fettle import reward_versions, rollouts
from fettle.errors import Fenced, TrainingFailed
from fettle.rewards.given import check
from fettle.rollouts import Wanted
from models import Event, Job, RolloutChunk
from worker import rollouts as worker_rollouts
from worker.children import Child
from worker.held import Held
from worker.rollouts import Rollouts
from worker.scorer import Scorer

pytestmark = pytest.mark.slow  # each starts a scorer process

Line = dict[str, Any]
LONGER = "def reward(prompt, completion, example):\n    print('saw', completion)\n    return len(completion) / 10\n"
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


async def with_rewards(held: Held, job: Job, *functions: Any) -> tuple[Rollouts, Heard]:
    async with held.db.transaction() as session:
        await reward_versions.add(session, job.id, check({"reward_functions": list(functions)}))
    child = Heard()
    return Rollouts(held, job, cast(Child, child)), child


async def score(scored: Rollouts, step: int, *completions: str, purpose: str = "train") -> None:
    scored.score({"type": "score", "step": step, "purpose": purpose, "rollouts": batch(*completions)})
    assert scored.scoring is not None
    await scored.scoring


async def stored(held: Held, job: Job) -> list[RolloutChunk]:
    async with held.db.snapshot() as session:
        return list(await session.scalars(select(RolloutChunk).where(RolloutChunk.job_id == job.id)))


class TestScoring:
    async def test_the_child_gets_the_weighted_sum_and_each_functions_score(self, held: Held, job: Job) -> None:
        scored, child = await with_rewards(held, job, "exact_match", {"name": "long", "source": LONGER, "weight": 2})
        await score(scored, 1, "2", "three")
        await scored.close()
        (answer,) = child.lines
        assert answer["rewards"] == [1 + 2 * 0.1, 0 + 2 * 0.5]
        assert answer["scores"] == {"exact_match": [1.0, 0.0], "long": [0.1, 0.5]}
        assert answer["version"] == 1

    async def test_every_rollout_is_stored_with_what_was_said_about_it(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, {"name": "long", "source": LONGER})
        await score(scored, 1, "2", "three")
        await scored.store({"type": "rollouts", "step": 1, "advantages": [-0.5, 0.5]})
        await scored.close()
        (chunk,) = await stored(held, job)
        assert chunk.summary == {"reward_mean": 0.3, "reward_min": 0.1, "reward_max": 0.5, "tokens": 6, "errors": 0}
        first, second = await rollouts.load(held.storage, chunk, Wanted())
        assert (first["completion"], first["reward"], first["advantage"]) == ("2", 0.1, -0.5)
        assert second["printed"] == "saw three\n"
        assert second["item"] == {"answer": "2"}
        assert second["prompt"] == [{"role": "user", "content": "1 + 1 ="}]

    async def test_a_step_done_again_replaces_what_the_dead_attempt_stored(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, "exact_match")
        for completion in ("3", "2"):
            await score(scored, 1, completion)
            await scored.store({"type": "rollouts", "step": 1, "advantages": [0.0]})
        await scored.close()
        (chunk,) = await stored(held, job)
        assert chunk.summary["reward_mean"] == 1.0

    async def test_a_batch_that_the_child_has_scored_comes_whole(self, held: Held, job: Job) -> None:
        scored = Rollouts(held, job, cast(Child, Heard()))
        own = {"reward": 0.5, "scores": {"reward_model": 2.0}, "advantage": -1.5, "kl": 0.25}
        whole = [each | own for each in batch("2")]
        await scored.store({"type": "rollouts", "step": 7, "rollouts": whole})
        await scored.close()
        (chunk,) = await stored(held, job)
        (row,) = await rollouts.load(held.storage, chunk, Wanted())
        assert (row["step"], row["completion"], row["stop_reason"]) == (7, "2", "stop")
        assert (row["reward"], row["scores"]) == (0.5, {"reward_model": 2.0})
        assert (row["advantage"], row["kl"], row["reward_version"]) == (-1.5, 0.25, None)

    async def test_validation_is_answered_and_not_stored(self, held: Held, job: Job) -> None:
        scored, child = await with_rewards(held, job, "exact_match")
        await score(scored, 1, "2", purpose="validation")
        await scored.store({"type": "rollouts", "step": 1, "advantages": []})
        await scored.close()
        assert child.lines[0]["rewards"] == [1.0]
        assert await stored(held, job) == []

    async def test_a_fenced_worker_stores_nothing(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, "exact_match")
        await score(scored, 1, "2")
        async with held.db.transaction() as session:
            (await session.get_one(Job, job.id)).fence += 1
        with pytest.raises(Fenced):
            await scored.store({"type": "rollouts", "step": 1, "advantages": [0.0]})
        await scored.close()
        assert await stored(held, job) == []


class TestErrors:
    async def test_a_few_failures_mark_their_rollouts(self, held: Held, job: Job) -> None:
        scored, child = await with_rewards(held, job, {"name": "broken", "source": BROKEN})
        await score(scored, 1, "a", "a", "a", "a", "b")  # one of five: not more than 20 %
        await scored.store({"type": "rollouts", "step": 1, "advantages": [0.0] * 5})
        await scored.close()
        assert child.lines[0]["rewards"] == [1.0, 1.0, 1.0, 1.0, None]
        (chunk,) = await stored(held, job)
        assert chunk.summary["errors"] == 1
        failed = (await rollouts.load(held.storage, chunk, Wanted()))[4]
        assert "KeyError" in failed["errors"]["broken"]["message"]

    async def test_past_a_fifth_the_job_fails_with_a_traceback(self, held: Held, job: Job) -> None:
        scored, child = await with_rewards(held, job, {"name": "broken", "source": BROKEN})
        with pytest.raises(TrainingFailed) as failure:
            await score(scored, 1, "a", "a", "a", "b", "b")
        await scored.close()
        assert failure.value.code == "graders_failed"
        assert "2 of 5 completions" in failure.value.message
        assert "KeyError" in failure.value.message
        assert child.lines == []

    async def test_code_that_does_not_load_fails_the_job(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, {"name": "odd", "source": "def reward(:\n"})
        with pytest.raises(TrainingFailed, match="cannot be opened"):
            await score(scored, 1, "2")
        await scored.close()

    async def test_a_scorer_that_overruns_is_killed_and_the_next_batch_has_a_new_one(self) -> None:
        endless = check(
            {"reward_functions": [{"name": "endless", "source": "def reward(p, c, e):\n    while 1: pass\n"}]}
        )
        scorer = Scorer(seconds=3)
        (lost,) = await scorer.score(1, endless, batch("2"))
        assert lost["reward"] is None
        assert "more than 3 s" in lost["errors"]["endless"]["message"]
        assert scorer.process is None
        (right,) = await scorer.score(2, check({"reward_functions": ["exact_match"]}), batch("2"))
        await scorer.close()
        assert right["reward"] == 1.0


class TestEdits:
    async def test_an_edit_judges_from_the_next_step_on_and_rollouts_tell_which_version_it_was(
        self, held: Held, job: Job
    ) -> None:
        scored, child = await with_rewards(held, job, "exact_match")
        await score(scored, 1, "2")
        await scored.store({"type": "rollouts", "step": 1, "advantages": [0.0]})
        async with held.db.transaction() as session:
            new = {"reward_functions": [{"name": "exact_match", "weight": 5}]}
            version = await reward_versions.edit(session, job.project_id, job.id, new)
        assert version.version == 2
        await score(scored, 2, "2")
        await scored.store({"type": "rollouts", "step": 2, "advantages": [0.0]})
        await scored.close()
        assert [line["rewards"] for line in child.lines] == [[1.0], [5.0]]
        chunks = await stored(held, job)
        versions = [
            row["reward_version"] for chunk in chunks for row in await rollouts.load(held.storage, chunk, Wanted())
        ]
        assert versions == [1, 2]

    async def test_an_edit_that_does_not_load_leaves_the_version_before_in_force_and_says_so(
        self, held: Held, job: Job
    ) -> None:
        scored, child = await with_rewards(held, job, "exact_match")
        await score(scored, 1, "2")
        async with held.db.transaction() as session:
            odd = {"reward_functions": [{"name": "odd", "source": "def reward(:\n"}]}
            await reward_versions.edit(session, job.project_id, job.id, odd)
        await score(scored, 2, "2")
        await score(scored, 3, "2")
        await scored.close()
        assert [(line["rewards"], line["version"]) for line in child.lines] == [([1.0], 1)] * 3
        async with held.db.snapshot() as session:
            messages = list(await session.scalars(select(Event.message).where(Event.level == "warn")))
        assert len(messages) == 1
        assert messages[0].startswith("Rewards version 2 cannot be opened, version 1 stays")


async def test_closing_ends_the_scorer_process(held: Held, job: Job) -> None:
    scored, _ = await with_rewards(held, job, "exact_match")
    await score(scored, 1, "2")
    process = scored.scorer.process
    assert process is not None
    await scored.close()
    assert process.returncode is not None
    assert not Path(f"/proc/{process.pid}").exists()


async def test_a_slow_grader_holds_up_nobody_but_the_child(held: Held, job: Job) -> None:
    sleepy = "import time\ndef reward(p, c, e):\n    time.sleep(1)\n    return 1.0\n"
    scored, child = await with_rewards(held, job, {"name": "sleepy", "source": sleepy})
    scored.score({"type": "score", "step": 1, "purpose": "train", "rollouts": batch("2")})
    await asyncio.sleep(0.05)
    scored.check()  # nothing to tell yet, and nobody waits
    assert child.lines == []
    assert scored.scoring is not None
    await scored.scoring
    await scored.close()
    assert child.lines[0]["rewards"] == [1.0]


def test_the_share_of_errors_is_the_one_that_the_documentation_names() -> None:
    assert worker_rollouts.ERRORS_AT_MOST == 0.2
