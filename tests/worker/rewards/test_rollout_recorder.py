"""The supervisor's side of rewards: scored by a process of its own, answered, looked at, watched, stored."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from fettle.errors import Fenced, TrainingFailed
from fettle.jobs import reward_versions
from fettle.tenancy import quotas
from models import Job
from tests.fettle.rollouts.chunks import loaded
from tests.worker.rewards.scoring import LONGER, Heard, batch, events_of, score, stored, with_rewards
from worker.attempts.attempt import Attempt
from worker.jobs.training_process import Child
from worker.rewards.rollout_recorder import RolloutRecorder

pytestmark = pytest.mark.slow  # each starts a scorer process


class TestScoring:
    async def test_the_child_gets_the_weighted_sum_and_each_functions_score(self, attempt: Attempt) -> None:
        recorder, child = await with_rewards(attempt, "exact_match", {"name": "long", "source": LONGER, "weight": 2})
        await score(recorder, 1, "2", "three")
        await recorder.close()
        (answer,) = child.lines
        assert answer["rewards"] == [1 + 2 * 0.1, 0 + 2 * 0.5]
        assert answer["scores"] == {"exact_match": [1.0, 0.0], "long": [0.1, 0.5]}
        assert answer["version"] == 1

    async def test_every_rollout_is_stored_with_what_was_said_about_it(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, {"name": "long", "source": LONGER})
        await score(recorder, 1, "2", "three")
        await recorder.store({"type": "rollouts", "step": 1, "advantages": [-0.5, 0.5]})
        await recorder.close()
        (chunk,) = await stored(attempt)
        assert chunk.summary == {
            "reward": {"mean": 0.3, "std": 0.2},
            "reward_min": 0.1,
            "reward_max": 0.5,
            "reward_version": 1,
            "tokens": 6,
            "length_mean": 3,
            "dead_groups": 0.0,
            "errors": 0,
            "cut_off": 0,
            "distinct": 1,
            "commonest": None,  # of one prompt
            "form": None,
            "answer": {"mean": 0.3, "std": 0.2},
        }
        first, second = await loaded(attempt.storage, chunk)
        assert (first["completion"], first["reward"], first["advantage"]) == ("2", 0.1, -0.5)
        assert second["printed"] == "saw three\n"
        assert second["item"] == {"answer": "2"}
        assert second["prompt"] == [{"role": "user", "content": "1 + 1 ="}]

    async def test_a_step_done_again_replaces_what_the_dead_attempt_stored(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        for completion in ("3", "2"):
            await score(recorder, 1, completion)
            await recorder.store({"type": "rollouts", "step": 1, "advantages": [0.0]})
        await recorder.close()
        (chunk,) = await stored(attempt)
        assert chunk.summary["reward"]["mean"] == 1.0

    async def test_steps_that_a_dead_attempt_was_ahead_are_forgotten(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        for step in (1, 2, 3, 2):  # it died in step 4, and its checkpoint was of step 1
            await score(recorder, step, "2")
            await recorder.store({"type": "rollouts", "step": step, "advantages": [0.0]})
        await recorder.close()
        assert sorted(chunk.step for chunk in await stored(attempt)) == [1, 2]

    async def test_rollouts_count_to_the_projects_bytes_and_a_full_quota_ends_keeping_them(
        self, attempt: Attempt
    ) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        async with attempt.resources.db.snapshot() as session:
            before = await quotas.stored_bytes(session, attempt.job.project_id)
        await score(recorder, 1, "2")
        await recorder.store({"type": "rollouts", "step": 1, "advantages": [0.0]})
        (chunk,) = await stored(attempt)
        assert chunk.bytes == len(b"".join([part async for part in attempt.storage.stream(chunk.storage_key)])) > 0
        async with attempt.resources.db.transaction() as session:
            assert await quotas.stored_bytes(session, attempt.job.project_id) == before + chunk.bytes
            quotas.change(await quotas.locked(session, attempt.job.project_id), {"bytes": before + chunk.bytes}, [])
        for step in (2, 3):
            await score(recorder, step, "2")
            await recorder.store({"type": "rollouts", "step": step, "advantages": [0.0]})
        await recorder.close()
        assert [chunk.step for chunk in await stored(attempt)] == [1]
        warned = [event for event in await events_of(attempt, "warning") if "'bytes' is full" in event.message]
        assert [(event.data or {})["step"] for event in warned] == [2]

    async def test_a_batch_that_the_child_has_scored_comes_whole(self, attempt: Attempt) -> None:
        recorder = RolloutRecorder(attempt, cast(Child, Heard()))
        own = {"reward": 0.5, "scores": {"reward_model": 2.0}, "advantage": -1.5, "kl": 0.25}
        whole = [each | own for each in batch("2")]
        await recorder.store({"type": "rollouts", "step": 7, "rollouts": whole})
        await recorder.close()
        (chunk,) = await stored(attempt)
        (row,) = await loaded(attempt.storage, chunk)
        assert (row["step"], row["completion"], row["stop_reason"]) == (7, "2", "stop")
        assert (row["reward"], row["scores"]) == (0.5, {"reward_model": 2.0})
        assert (row["advantage"], row["kl"], row["reward_version"]) == (-1.5, 0.25, None)

    async def test_validation_is_answered_and_not_stored(self, attempt: Attempt) -> None:
        recorder, child = await with_rewards(attempt, "exact_match")
        await score(recorder, 1, "2", purpose="validation")
        await recorder.store({"type": "rollouts", "step": 1, "advantages": []})
        await recorder.close()
        assert child.lines[0]["rewards"] == [1.0]
        assert await stored(attempt) == []

    async def test_a_fenced_worker_stores_nothing(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        await score(recorder, 1, "2")
        async with attempt.resources.db.transaction() as session:
            (await session.get_one(Job, attempt.job.id)).fence += 1
        with pytest.raises(Fenced):
            await recorder.store({"type": "rollouts", "step": 1, "advantages": [0.0]})
        await recorder.close()
        assert await stored(attempt) == []


class TestFirstLook:
    async def test_the_first_batch_is_looked_at_once(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        for step in (1, 2):
            line = {"type": "score", "step": step, "purpose": "train", "rollouts": batch("2", "3", "2"), "seconds": 1.5}
            recorder.score(line)
            assert recorder.scoring is not None
            await recorder.scoring
        await recorder.close()
        (event,) = await events_of(attempt, "dead_groups")
        assert event.message.startswith(
            "Rewards at step 1: reward 0.667 ± 0.471, all rewards equal in 0% of 1 group; 3 completions, "
            "generated in 1.5 s, scored in "
        )
        assert event.data is not None and event.data["rewards"]["mean"] == pytest.approx(2 / 3)
        assert await events_of(attempt, "warning") == []

    async def test_it_warns_where_nothing_can_be_learned(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        await score(recorder, 1, "3", "4")
        await recorder.close()
        (event,) = await events_of(attempt, "warning")
        assert (event.level, (event.data or {})["warning"]) == ("warn", "nothing_earned")
        assert "Use easier prompts" in event.message

    async def test_a_resumed_run_is_past_it_and_an_edit_is_looked_at_again(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        await score(recorder, 5, "2", "3")
        assert await events_of(attempt, "dead_groups") == []
        async with attempt.resources.db.transaction() as session:
            new = {"reward_functions": [{"name": "exact_match", "weight": 5}]}
            await reward_versions.edit(session, attempt.job.project_id, attempt.job.id, new)
        await score(recorder, 6, "2", "3")
        await recorder.close()
        (event,) = await events_of(attempt, "dead_groups")
        assert event.message.startswith("Rewards at step 6: reward 2.5 ")

    async def test_validation_is_not_looked_at(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        await score(recorder, 1, "3", purpose="validation")
        await recorder.close()
        assert await events_of(attempt, "dead_groups") == []


class TestWatch:
    """Form pays, the answer is lost: as a real policy would do it, over 30 steps."""

    FORMAT = "def reward(p, c, e):\n    return float('<' in c)\n"
    FUNCTIONS = ("exact_match", {"name": "format_ok", "source": FORMAT, "weight": 0.5})
    STEPS = 30

    async def step(self, recorder: RolloutRecorder, number: int) -> None:
        right = 6 if number < 12 else 1
        completions = ["2"] * right + ["<3>"] * (8 - right)
        await score(recorder, number, *completions)
        await recorder.store({"type": "rollouts", "step": number, "advantages": [0.0] * 8, "kl": [0.5] * 8})

    @pytest.mark.parametrize("resumed_at", [None, 10, 16, 25])
    async def test_it_tells_once_and_a_resumed_run_tells_the_same(
        self, attempt: Attempt, resumed_at: int | None
    ) -> None:
        recorder, _ = await with_rewards(attempt, *self.FUNCTIONS)
        for number in range(1, self.STEPS + 1):
            if number == resumed_at:  # killed two steps after the checkpoint that it goes on from
                await recorder.close()
                recorder = RolloutRecorder(attempt, cast(Child, Heard()))
                for again in (number - 2, number - 1):
                    await self.step(recorder, again)
            await self.step(recorder, number)
        await recorder.close()
        (warned,) = await events_of(attempt, "warning")
        assert warned.level == "warn"
        assert warned.data == {"warning": "form_over_answer", "step": 17}
        chunk = (await stored(attempt))[0]
        assert (await loaded(attempt.storage, chunk))[0]["kl"] == 0.5


async def test_closing_ends_the_scorer_process(attempt: Attempt) -> None:
    recorder, _ = await with_rewards(attempt, "exact_match")
    await score(recorder, 1, "2")
    process = recorder.grader.scorer.process
    assert process is not None
    await recorder.close()
    assert process.returncode is not None
    assert not Path(f"/proc/{process.pid}").exists()


async def test_a_slow_grader_holds_up_nobody_but_the_child(attempt: Attempt) -> None:
    sleepy = "import time\ndef reward(p, c, e):\n    time.sleep(1)\n    return 1.0\n"
    recorder, child = await with_rewards(attempt, {"name": "sleepy", "source": sleepy})
    recorder.score({"type": "score", "step": 1, "purpose": "train", "rollouts": batch("2")})
    await asyncio.sleep(0.05)
    recorder.check()  # nothing to tell yet, and nobody waits
    assert child.lines == []
    assert recorder.scoring is not None
    await recorder.scoring
    await recorder.close()
    assert child.lines[0]["rewards"] == [1.0]


class TestTools:
    async def test_the_child_hears_what_its_tools_return(self, attempt: Attempt) -> None:
        recorder, child = await with_rewards(attempt, "exact_match")
        tool = {"name": "add", "source": "def add(a, b):\n    return a + b\n"}
        attempt.job.method = {"type": "reinforcement", "reinforcement": {"tools": [tool]}}
        recorder.call({"type": "call_tools", "calls": [{"name": "add", "arguments": '{"a": 2, "b": 3}'}]})
        assert recorder.scoring is not None
        await recorder.scoring
        await recorder.close()
        assert child.lines == [{"type": "called", "results": [{"text": "5", "failed": False}]}]

    async def test_a_tool_that_does_not_load_fails_the_job_while_it_begins(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        tool = {"name": "add", "source": "1 / 0\ndef add(a, b):\n    return a + b\n"}
        attempt.job.method = {"type": "reinforcement", "reinforcement": {"tools": [tool]}}
        recorder.open()
        assert recorder.scoring is not None
        with pytest.raises(TrainingFailed, match=r"(?s)The tool 'add'.*ZeroDivisionError") as caught:
            await recorder.scoring
        await recorder.close()
        assert caught.value.param == "method.reinforcement.tools"
