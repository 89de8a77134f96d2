import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from models import Event, Job
from worker.attempts.attempt import Attempt
from worker.jobs.messages import RunHalted, TrainingCrashed, finish_time, process_messages
from worker.jobs.training_process import Child
from worker.reporting.client import Reports
from worker.rewards.rollout_recorder import RolloutRecorder

LOADING = {"type": "event", "level": "info", "message": "Device: CPU", "data": {}}
STEP = {"type": "metrics", "step": 1, "total_steps": 9, "data": {"train_loss": 1.0}}
STOPPED = {"type": "stopped", "step": 1}


class Saying:
    """A child that says this and hangs up, or falls silent."""

    def __init__(self, *lines: dict[str, Any] | None, silent: bool = False) -> None:
        self.said, self.silent = lines, silent

    async def lines(self, pause: float) -> AsyncIterator[dict[str, Any] | None]:
        for line in self.said:
            yield line
        while self.silent:
            await asyncio.sleep(0)
            yield None

    async def exit_code(self) -> int:
        return 0


async def relayed(attempt: Attempt, child: Saying, *, halted: bool) -> dict[str, Any]:
    halt = asyncio.Event()
    if halted:
        halt.set()
    return await asyncio.wait_for(
        process_messages(
            attempt, Path(), cast(Child, child), Reports(attempt), halt, RolloutRecorder(attempt, cast(Child, child))
        ),
        30,
    )


async def messages(attempt: Attempt) -> Sequence[str]:
    async with attempt.resources.db.snapshot() as session:
        return (await session.scalars(select(Event.message).where(Event.job_id == attempt.job.id))).all()


class TestHalt:
    async def test_a_child_that_has_not_trained_yet_is_not_waited_for(self, attempt: Attempt) -> None:
        with pytest.raises(RunHalted):
            await relayed(attempt, Saying(LOADING, silent=True), halted=True)

    async def test_a_child_that_trains_is_heard_to_its_end(self, attempt: Attempt) -> None:
        with pytest.raises(RunHalted):
            await relayed(attempt, Saying(STEP, None, LOADING, STOPPED), halted=True)
        assert "Device: CPU" in await messages(attempt)

    async def test_a_run_that_is_done_already_is_published(self, attempt: Attempt) -> None:
        done = {"type": "done", "path": "out/adapter", "step": 9}
        assert await relayed(attempt, Saying(done), halted=True) == done


class TestEnd:
    async def test_a_child_that_hangs_up_without_a_word_has_died_and_what_it_said_is_kept(
        self, attempt: Attempt
    ) -> None:
        with pytest.raises(TrainingCrashed, match="ended with exit code 0 before it was done"):
            await relayed(attempt, Saying(LOADING, STEP), halted=False)
        assert (await messages(attempt))[-2:] == ["Device: CPU", "Step 1/9: training loss=1.0000"]


async def test_a_step_is_told_in_the_words_that_scripts_for_openai_look_for(attempt: Attempt) -> None:
    found = {"train_loss": 0.5, "valid_loss": 0.625, "valid_mean_token_accuracy": 0.75, "learning_rate": 1e-4}
    with pytest.raises(RunHalted):
        await relayed(attempt, Saying({**STEP, "data": found}, STOPPED), halted=True)
    assert (await messages(attempt))[-1] == (
        "Step 1/9: training loss=0.5000, validation loss=0.6250, validation mean token accuracy=0.7500"
    )


class TestSilence:
    async def test_a_child_that_reports_nothing_more_is_warned_of_and_then_lost(self, attempt: Attempt) -> None:
        settings = attempt.settings.model_copy(update={"stall_seconds": 0.2})
        attempt = replace(attempt, resources=replace(attempt.resources, settings=settings))
        with pytest.raises(TrainingCrashed, match="The training process has reported nothing for"):
            await relayed(attempt, Saying(LOADING, silent=True), halted=False)
        assert len([said for said in await messages(attempt) if said.startswith("The training process has")]) == 1


class TestPhases:
    async def test_a_reward_models_steps_say_nothing_about_when_the_policy_is_done(self, attempt: Attempt) -> None:
        def step(number: int, phase: str) -> dict[str, Any]:
            return {"type": "metrics", "step": number, "total_steps": 9, "data": {"phase": phase}}

        lines = [step(1, "reward_model"), None, step(2, "reward_model"), None]
        with pytest.raises(TrainingCrashed):
            await relayed(attempt, Saying(*lines), halted=False)
        async with attempt.resources.db.snapshot() as session:
            assert (await session.get_one(Job, attempt.job.id)).estimated_finish is None
        with pytest.raises(TrainingCrashed):
            await relayed(attempt, Saying(*lines, step(3, "policy"), None, step(4, "policy"), None), halted=False)
        async with attempt.resources.db.snapshot() as session:
            assert (await session.get_one(Job, attempt.job.id)).estimated_finish is not None


class TestFinishTime:
    def test_the_pace_is_that_since_the_first_step_seen(self) -> None:
        # resumed at step 900, 20 steps in 10 s: the 80 that are left take 40 s
        before = time.time()
        finish = finish_time((900, 100.0), (920, 110.0), 1000)
        assert finish is not None and before + 39.9 <= finish <= time.time() + 40.1

    def test_one_step_has_no_pace_yet(self) -> None:
        assert finish_time((1, 100.0), (1, 100.0), 1000) is None
        assert finish_time(None, (0, 100.0), 0) is None


async def test_what_auto_came_to_on_the_rows_that_remained_is_shown_by_the_job(attempt: Attempt) -> None:
    kind = attempt.job.method["type"]
    before = attempt.job.method[kind]["hyperparameters"]
    line = {"type": "hyperparameters", "of": "hyperparameters", "values": {"batch_size": 11}}
    with pytest.raises(RunHalted):
        await relayed(attempt, Saying(line, STEP, STOPPED), halted=False)
    async with attempt.resources.db.snapshot() as session:
        found = (await session.get_one(Job, attempt.job.id)).method
    assert found == attempt.job.method | {
        kind: attempt.job.method[kind] | {"hyperparameters": before | {"batch_size": 11}}
    }
