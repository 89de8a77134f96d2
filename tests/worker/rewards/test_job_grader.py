"""Which rewards judge, by whom and held by what: versions, models that are asked, the sandbox on the job."""

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.responses import JSONResponse
from pydantic import SecretStr
from sqlalchemy import select

from fettle.errors import Fenced, TrainingFailed
from fettle.jobs import reward_versions
from fettle.rewards.grader_fields import check
from fettle.rewards.sandbox import level
from models import Event, Job
from tests.api.served import served
from tests.api.stub_engine import StubEngine
from tests.fettle.rewards.sandbox.sessions import gone
from tests.fettle.rollouts.chunks import loaded
from tests.worker.rewards.scoring import LONGER, MEANS, Heard, batch, score, stored, with_rewards
from worker import metrics
from worker.attempts.attempt import Attempt
from worker.jobs.training_process import Child
from worker.rewards.rollout_recorder import RolloutRecorder
from worker.rewards.scorer_client import Scorer

pytestmark = pytest.mark.slow  # each starts a scorer process

KEY = "the-engine-key-that-nobody-may-read"


class TestTheSandbox:
    async def sandbox(self, attempt: Attempt) -> str | None:
        async with attempt.resources.db.snapshot() as session:
            return (await session.get_one(Job, attempt.job.id)).sandbox

    async def test_what_holds_user_code_is_recorded_on_the_job(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, {"name": "long", "source": LONGER})
        recorder.open()
        await score(recorder, 1, "2")
        await recorder.close()
        assert await self.sandbox(attempt) == level()

    async def test_a_job_without_user_code_has_none(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        recorder.open()
        await score(recorder, 1, "2")
        await recorder.close()
        assert await self.sandbox(attempt) is None

    async def test_a_job_without_rewards_opens_nothing(self, attempt: Attempt) -> None:
        recorder = RolloutRecorder(attempt, cast(Child, Heard()))
        recorder.open()
        assert recorder.scoring is not None
        await recorder.scoring
        assert recorder.grader.scorer.process is None

    async def test_a_fenced_worker_records_nothing(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, {"name": "long", "source": LONGER})
        async with attempt.resources.db.transaction() as session:
            (await session.get_one(Job, attempt.job.id)).fence += 1
        recorder.open()
        assert recorder.scoring is not None
        with pytest.raises(Fenced):
            await recorder.scoring
        await recorder.close()
        assert await self.sandbox(attempt) is None

    async def test_a_scorer_that_is_killed_takes_its_sandboxes_with_it_and_leaves_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        two = check({"reward_functions": [{"name": name, "source": LONGER} for name in ("one", "other")]})
        for version in (1, 2):
            scoring = Scorer(MEANS)
            assert (await scoring.score(version, two, batch("2")))[0]["reward"] == 0.2
            assert scoring.process is not None
            guests = children(scoring.process.pid)
            assert len(guests) == 2
            os.kill(scoring.process.pid, signal.SIGKILL)
            assert all([await asyncio.to_thread(gone, guest) for guest in guests])
            await scoring.close()
        assert list(tmp_path.iterdir()) == []


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class TestModelsAsJudges:
    WORDS = '{"steps": ["fine"], "result": 5}'

    @pytest.fixture
    def engine(self) -> Iterator[tuple[StubEngine, str]]:
        stub = StubEngine()
        message = {"role": "assistant", "content": self.WORDS}
        stub.answer = JSONResponse({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})
        with served(stub.app) as url:
            yield stub, url

    def asking(self, attempt: Attempt, url: str, **changed: Any) -> Attempt:
        update = {"engine_url": url, "engine_key": SecretStr(KEY), "judge_retry_seconds": 0.0, **changed}
        settings = attempt.settings.model_copy(update=update)
        return replace(attempt, resources=replace(attempt.resources, settings=settings))

    async def test_the_engine_is_asked_about_every_completion_and_its_key_is_nowhere_to_be_read(
        self, attempt: Attempt, engine: tuple[StubEngine, str]
    ) -> None:
        aliased = self.asking(attempt, engine[1], model_aliases={"gpt-4o": "starter"})
        recorder, child = await with_rewards(aliased, {"name": "judge", "parameters": {"model": "gpt-4o"}})
        await score(recorder, 1, "2", "3")
        process = recorder.grader.scorer.process
        assert process is not None
        told = b"".join(Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        await recorder.close()
        assert child.lines[0]["rewards"] == [0.5, 0.5]
        assert [body["model"] for _, body in engine[0].seen] == ["starter"] * 2
        assert engine[0].keys == {f"Bearer {KEY}"}
        assert KEY.encode() not in told

    async def test_an_engine_that_stays_away_marks_the_completions_and_past_a_fifth_fails_the_job(
        self, attempt: Attempt
    ) -> None:
        away = self.asking(attempt, "http://127.0.0.1:1")
        counter = metrics.grader_errors.labels("model_grader_server_error")
        before = counter._value.get()
        recorder, child = await with_rewards(away, {"name": "judge", "parameters": {"model": "starter"}})
        with pytest.raises(TrainingFailed, match=r"failed on 2 of 2 completions[\s\S]*is not responding") as failure:
            await score(recorder, 1, "2", "3")
        await recorder.close()
        assert failure.value.code == "graders_failed"
        assert child.lines == []
        assert counter._value.get() == before + 2

    async def test_a_judge_that_is_gone_fails_the_job_by_its_name(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, {"name": "reward_model", "parameters": {"model": "ft:gone"}})
        with pytest.raises(TrainingFailed, match="cannot be started: The model 'ft:gone' does not exist"):
            await score(recorder, 1, "2")
        await recorder.close()

    async def test_user_code_has_the_limits_of_the_settings(self, attempt: Attempt) -> None:
        sleepy = "import time\ndef reward(p, c, e):\n    time.sleep(60 if c == 'a' else 0)\n    return 1.0\n"
        short = self.asking(attempt, "http://127.0.0.1:1", grader_seconds=3.0)
        recorder, child = await with_rewards(short, {"name": "sleepy", "source": sleepy})
        await score(recorder, 1, "a", *"bcdef")
        await recorder.close()
        assert child.lines[0]["rewards"] == [None, 1.0, 1.0, 1.0, 1.0, 1.0]


class TestEdits:
    async def test_an_edit_judges_from_the_next_step_on_and_rollouts_tell_which_version_it_was(
        self, attempt: Attempt
    ) -> None:
        recorder, child = await with_rewards(attempt, "exact_match")
        await score(recorder, 1, "2")
        await recorder.store({"type": "rollouts", "step": 1, "advantages": [0.0]})
        async with attempt.resources.db.transaction() as session:
            new = {"reward_functions": [{"name": "exact_match", "weight": 5}]}
            version = await reward_versions.edit(session, attempt.job.project_id, attempt.job.id, new)
        assert version.version == 2
        await score(recorder, 2, "2")
        await recorder.store({"type": "rollouts", "step": 2, "advantages": [0.0]})
        await recorder.close()
        assert [line["rewards"] for line in child.lines] == [[1.0], [5.0]]
        chunks = await stored(attempt)
        versions = [row["reward_version"] for chunk in chunks for row in await loaded(attempt.storage, chunk)]
        assert versions == [1, 2]

    async def test_an_edit_that_does_not_load_leaves_the_version_before_in_force_and_says_so(
        self, attempt: Attempt
    ) -> None:
        recorder, child = await with_rewards(attempt, "exact_match")
        await score(recorder, 1, "2")
        async with attempt.resources.db.transaction() as session:
            odd = {"reward_functions": [{"name": "odd", "source": "import numpy as reward"}]}
            await reward_versions.edit(session, attempt.job.project_id, attempt.job.id, odd)
        await score(recorder, 2, "2")
        await score(recorder, 3, "2")
        await recorder.close()
        assert [(line["rewards"], line["version"]) for line in child.lines] == [([1.0], 1)] * 3
        async with attempt.resources.db.snapshot() as session:
            messages = list(await session.scalars(select(Event.message).where(Event.level == "warn")))
        assert len(messages) == 1
        assert messages[0].startswith("Rewards version 2 cannot be used, so version 1 stays")

    async def test_an_edit_that_does_not_load_costs_a_resumed_run_nothing_either(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        async with attempt.resources.db.transaction() as session:
            odd = {"reward_functions": [{"name": "odd", "source": "raise ValueError('\\0')\nreward = None"}]}
            await reward_versions.edit(session, attempt.job.project_id, attempt.job.id, odd)
        await score(recorder, 1, "2")  # the first batch of an attempt that knows of no version before
        await recorder.close()
        assert cast(Heard, recorder.child).lines[0]["version"] == 1
        async with attempt.resources.db.snapshot() as session:
            messages = list(await session.scalars(select(Event.message).where(Event.level == "warn")))
        assert messages[0].startswith("Rewards version 2 cannot be used, so version 1 stays")
        assert "\0" not in messages[0]  # PostgreSQL would not take it
