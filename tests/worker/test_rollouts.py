"""The supervisor's side of rewards: scored by a process of its own, answered, stored, edited, given up."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.responses import JSONResponse
from pydantic import SecretStr
from sqlalchemy import select

from fettle import reward_versions, rollouts
from fettle.errors import Fenced, TrainingFailed
from fettle.rewards.given import check
from fettle.rewards.sandbox import level
from fettle.rollouts import Wanted
from fettle.settings import Settings
from models import Event, Job, RolloutChunk
from tests.api.served import served
from tests.api.stub_engine import StubEngine
from tests.fettle.rewards.sandbox.sessions import gone
from worker import metrics, opening, scorer
from worker.children import Child
from worker.held import Held
from worker.rollouts import Rollouts
from worker.scorer import Scorer

pytestmark = pytest.mark.slow  # each starts a scorer process

Line = dict[str, Any]
KEY = "the-engine-key-that-nobody-may-read"
LONGER = "def reward(prompt, completion, example):\n    print('saw', completion)\n    return len(completion) / 10\n"
MEANS: Line = {**opening.means(Settings(_env_file=None)), "patience": 0}
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
        assert chunk.summary == {
            "reward": {"mean": 0.3, "std": 0.2},
            "reward_min": 0.1,
            "reward_max": 0.5,
            "reward_version": 1,
            "tokens": 6,
            "length_mean": 3,
            "errors": 0,
            "cut_off": 0,
            "distinct": 1,
            "commonest": None,  # of one prompt
            "form": None,
            "answer": {"mean": 0.3, "std": 0.2},
        }
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
        assert chunk.summary["reward"]["mean"] == 1.0

    async def test_steps_that_a_dead_attempt_was_ahead_are_forgotten(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, "exact_match")
        for step in (1, 2, 3, 2):  # it died in step 4, and its checkpoint was of step 1
            await score(scored, step, "2")
            await scored.store({"type": "rollouts", "step": step, "advantages": [0.0]})
        await scored.close()
        assert sorted(chunk.step for chunk in await stored(held, job)) == [1, 2]

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


class TestTheSandbox:
    async def sandbox(self, held: Held, job: Job) -> str | None:
        async with held.db.snapshot() as session:
            return (await session.get_one(Job, job.id)).sandbox

    async def test_what_holds_user_code_is_recorded_on_the_job(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, {"name": "long", "source": LONGER})
        scored.open()
        await score(scored, 1, "2")
        await scored.close()
        assert await self.sandbox(held, job) == level()

    async def test_a_job_without_user_code_has_none(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, "exact_match")
        scored.open()
        await score(scored, 1, "2")
        await scored.close()
        assert await self.sandbox(held, job) is None

    async def test_a_job_without_rewards_opens_nothing(self, held: Held, job: Job) -> None:
        scored = Rollouts(held, job, cast(Child, Heard()))
        scored.open()
        assert scored.scoring is not None
        await scored.scoring
        assert scored.scorer.process is None

    async def test_a_fenced_worker_records_nothing(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, {"name": "long", "source": LONGER})
        async with held.db.transaction() as session:
            (await session.get_one(Job, job.id)).fence += 1
        scored.open()
        assert scored.scoring is not None
        with pytest.raises(Fenced):
            await scored.scoring
        await scored.close()
        assert await self.sandbox(held, job) is None

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
        scored, _ = await with_rewards(held, job, {"name": "odd", "source": "import numpy as reward"})
        with pytest.raises(TrainingFailed, match="cannot be opened"):
            await score(scored, 1, "2")
        await scored.close()

    async def test_graders_are_opened_before_the_first_batch_and_fail_the_job_then(self, held: Held, job: Job) -> None:
        scored, child = await with_rewards(held, job, {"name": "odd", "source": "import numpy as reward"})
        scored.open()
        assert scored.scoring is not None
        await asyncio.wait({scored.scoring})
        with pytest.raises(TrainingFailed) as failure:
            scored.check()
        await scored.close()
        assert failure.value.code == "graders_failed"
        assert child.lines == []

    async def test_on_a_machine_that_cannot_confine_the_job_fails_and_names_the_way_out(
        self, held: Held, job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The scorer gets a kernel without Landlock: that is what a machine without it answers."""
        blind = tmp_path / "blind.py"
        blind.write_text(
            "from fettle.rewards.sandbox import landlock\nlandlock.abi = lambda: 0\n"
            "from worker.scoring import main\nmain()\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(Path(scorer.__file__).parents[1]))
        monkeypatch.setattr(scorer, "COMMAND", (sys.executable, str(blind)))
        scored, child = await with_rewards(held, job, {"name": "long", "source": LONGER})
        scored.open()
        assert scored.scoring is not None
        with pytest.raises(TrainingFailed) as failure:
            await scored.scoring
        await scored.close()
        assert failure.value.code == "sandbox_unavailable"
        assert "needs a kernel with Landlock" in failure.value.message
        assert "functions that need no sandbox" in failure.value.message
        assert child.lines == []
        async with held.db.snapshot() as session:
            assert (await session.get_one(Job, job.id)).sandbox is None

    async def test_a_scorer_that_overruns_is_killed_and_the_next_batch_has_a_new_one(self) -> None:
        endless = check(
            {"reward_functions": [{"name": "endless", "source": "def reward(p, c, e):\n    while 1: pass\n"}]}
        )
        scoring = Scorer(MEANS, seconds=3)
        (lost,) = await scoring.score(1, endless, batch("2"))
        assert lost["reward"] is None
        assert "more than 3 s" in lost["errors"]["endless"]["message"]
        assert scoring.process is None
        (right,) = await scoring.score(2, check({"reward_functions": ["exact_match"]}), batch("2"))
        await scoring.close()
        assert right["reward"] == 1.0

    async def test_graders_that_say_too_much_cost_the_batch_and_no_attempt(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scorer, "LINE_LIMIT", 1 << 10)
        loud = check({"reward_functions": [{"name": "loud", "source": LONGER}]})
        scoring = Scorer(MEANS)
        (lost,) = await scoring.score(1, loud, batch("2" * 2000))
        await scoring.close()
        assert lost["reward"] is None
        assert "about 1 completions" in lost["errors"]["loud"]["message"]

    async def test_the_job_says_how_many_may_fail(self, held: Held, job: Job) -> None:
        for allowed, fails in ((0.5, False), (0.3, True)):
            job.method = {"type": "reinforcement", "reinforcement": {"hyperparameters": {"max_grader_errors": allowed}}}
            scored, _ = await with_rewards(held, job, {"name": "broken", "source": BROKEN})
            if fails:
                with pytest.raises(TrainingFailed, match="max_grader_errors allows 30%"):
                    await score(scored, 1, "a", "a", "a", "b", "b")
            else:
                await score(scored, 1, "a", "a", "a", "b", "b")
            await scored.close()

    async def test_the_traceback_is_the_users_own_with_its_lines_and_no_path_of_ours(
        self, held: Held, job: Job
    ) -> None:
        source = "import json\n\ndef pick(text):\n    return json.loads(text)['n']\n\n\n"
        source += "def reward(prompt, completion, example):\n    return pick(completion)\n"
        scored, _ = await with_rewards(held, job, {"name": "picky", "source": source})
        with pytest.raises(TrainingFailed) as failure:
            await score(scored, 1, "no json", "{}")
        await scored.close()
        said = failure.value.message
        assert 'File "<grader>", line 8, in reward\n    return pick(completion)' in said
        assert 'File "<grader>", line 4, in pick\n' in said
        assert "JSONDecodeError" in said and "KeyError: 'n'" in said
        assert ".py" not in said and "/lib" not in said

    async def test_a_long_traceback_is_cut_in_its_middle(self, held: Held, job: Job) -> None:
        source = "def reward(prompt, completion, example):\n    raise ValueError('x' * 9000 + 'end')\n"
        scored, _ = await with_rewards(held, job, {"name": "loud", "source": source})
        with pytest.raises(TrainingFailed) as failure:
            await score(scored, 1, "a")
        await scored.close()
        assert len(failure.value.message) < 1300
        assert failure.value.message.endswith("xxend")

    async def test_an_edit_that_fails_everywhere_is_not_covered_by_what_went_well_before(
        self, held: Held, job: Job
    ) -> None:
        scored, _ = await with_rewards(held, job, "exact_match")
        for step in range(1, 11):
            await score(scored, step, "2", "3")
        async with held.db.transaction() as session:
            edit = {"reward_functions": [{"name": "broken", "source": BROKEN}]}
            await reward_versions.edit(session, job.project_id, job.id, edit)
        with pytest.raises(TrainingFailed, match="failed on 1 of 1 completions"):
            await score(scored, 11, "b")
        await scored.close()


class TestModelsAsJudges:
    WORDS = '{"steps": ["fine"], "result": 5}'

    @pytest.fixture
    def engine(self) -> Iterator[tuple[StubEngine, str]]:
        stub = StubEngine()
        message = {"role": "assistant", "content": self.WORDS}
        stub.answer = JSONResponse({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})
        with served(stub.app) as url:
            yield stub, url

    def asking(self, held: Held, url: str, **changed: Any) -> Held:
        update = {"engine_url": url, "engine_key": SecretStr(KEY), "judge_patience_seconds": 0.0, **changed}
        return replace(held, settings=held.settings.model_copy(update=update))

    async def test_the_engine_is_asked_about_every_completion_and_its_key_is_nowhere_to_be_read(
        self, held: Held, job: Job, engine: tuple[StubEngine, str]
    ) -> None:
        aliased = self.asking(held, engine[1], model_aliases={"gpt-4o": "starter"})
        scored, child = await with_rewards(aliased, job, {"name": "judge", "parameters": {"model": "gpt-4o"}})
        await score(scored, 1, "2", "3")
        process = scored.scorer.process
        assert process is not None
        told = b"".join(Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        await scored.close()
        assert child.lines[0]["rewards"] == [0.5, 0.5]
        assert [body["model"] for _, body in engine[0].seen] == ["starter"] * 2
        assert engine[0].keys == {f"Bearer {KEY}"}
        assert KEY.encode() not in told

    async def test_an_engine_that_stays_away_marks_the_completions_and_past_a_fifth_fails_the_job(
        self, held: Held, job: Job
    ) -> None:
        away = self.asking(held, "http://127.0.0.1:1")
        counter = metrics.grader_errors.labels("model_grader_server_error")
        before = counter._value.get()
        scored, child = await with_rewards(away, job, {"name": "judge", "parameters": {"model": "starter"}})
        with pytest.raises(TrainingFailed, match=r"failed on 2 of 2 completions[\s\S]*does not answer") as failure:
            await score(scored, 1, "2", "3")
        await scored.close()
        assert failure.value.code == "graders_failed"
        assert child.lines == []
        assert counter._value.get() == before + 2

    async def test_a_judge_that_is_gone_fails_the_job_by_its_name(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, {"name": "reward_model", "parameters": {"model": "ft:gone"}})
        with pytest.raises(TrainingFailed, match="cannot be opened: The model 'ft:gone' does not exist"):
            await score(scored, 1, "2")
        await scored.close()

    async def test_user_code_has_the_limits_of_the_settings(self, held: Held, job: Job) -> None:
        sleepy = "import time\ndef reward(p, c, e):\n    time.sleep(9 if c == 'a' else 0)\n    return 1.0\n"
        short = self.asking(held, "http://127.0.0.1:1", grader_seconds=1.0)
        scored, child = await with_rewards(short, job, {"name": "sleepy", "source": sleepy})
        await score(scored, 1, "a", *"bcdef")
        await scored.close()
        assert child.lines[0]["rewards"] == [None, 1.0, 1.0, 1.0, 1.0, 1.0]


async def events_of(held: Held, job: Job, key: str) -> list[Event]:
    """Those whose data has this key, oldest first."""
    async with held.db.snapshot() as session:
        found = await session.scalars(select(Event).where(Event.job_id == job.id).order_by(Event.seq))
        return [event for event in found if key in (event.data or {})]


class TestFirstLook:
    async def test_the_first_batch_is_looked_at_once(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, "exact_match")
        for step in (1, 2):
            line = {"type": "score", "step": step, "purpose": "train", "rollouts": batch("2", "3", "2"), "seconds": 1.5}
            scored.score(line)
            assert scored.scoring is not None
            await scored.scoring
        await scored.close()
        (event,) = await events_of(held, job, "dead_groups")
        assert event.message.startswith(
            "First look, step 1: reward 0.667 ± 0.471, 0% of 1 groups dead (all rewards equal); 3 completions, "
            "written in 1.5 s, scored in "
        )
        assert event.data is not None and event.data["rewards"]["mean"] == pytest.approx(2 / 3)
        assert await events_of(held, job, "warning") == []

    async def test_it_warns_where_nothing_can_be_learned(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, "exact_match")
        await score(scored, 1, "3", "4")
        await scored.close()
        (event,) = await events_of(held, job, "warning")
        assert (event.level, (event.data or {})["warning"]) == ("warn", "nothing_earned")
        assert "Take easier prompts" in event.message

    async def test_a_resumed_run_is_past_it_and_an_edit_is_looked_at_again(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, "exact_match")
        await score(scored, 5, "2", "3")
        assert await events_of(held, job, "dead_groups") == []
        async with held.db.transaction() as session:
            new = {"reward_functions": [{"name": "exact_match", "weight": 5}]}
            await reward_versions.edit(session, job.project_id, job.id, new)
        await score(scored, 6, "2", "3")
        await scored.close()
        (event,) = await events_of(held, job, "dead_groups")
        assert event.message.startswith("First look, step 6: reward 2.5 ")

    async def test_validation_is_not_looked_at(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, "exact_match")
        await score(scored, 1, "3", purpose="validation")
        await scored.close()
        assert await events_of(held, job, "dead_groups") == []


class TestWatch:
    """Form pays, the answer is lost: as a real policy would do it, over 30 steps."""

    FORMAT = "def reward(p, c, e):\n    return float('<' in c)\n"
    FUNCTIONS = ("exact_match", {"name": "format_ok", "source": FORMAT, "weight": 0.5})
    STEPS = 30

    async def step(self, scored: Rollouts, number: int) -> None:
        right = 6 if number < 12 else 1
        completions = ["2"] * right + ["<3>"] * (8 - right)
        await score(scored, number, *completions)
        await scored.store({"type": "rollouts", "step": number, "advantages": [0.0] * 8, "kl": [0.5] * 8})

    @pytest.mark.parametrize("resumed_at", [None, 10, 16, 25])
    async def test_it_tells_once_and_a_resumed_run_tells_the_same(
        self, held: Held, job: Job, resumed_at: int | None
    ) -> None:
        scored, _ = await with_rewards(held, job, *self.FUNCTIONS)
        for number in range(1, self.STEPS + 1):
            if number == resumed_at:  # killed two steps after the checkpoint that it goes on from
                await scored.close()
                scored = Rollouts(held, job, cast(Child, Heard()))
                for again in (number - 2, number - 1):
                    await self.step(scored, again)
            await self.step(scored, number)
        await scored.close()
        (warned,) = await events_of(held, job, "warning")
        assert warned.level == "warn"
        assert warned.data == {"warning": "form_over_answer", "step": 17}
        chunk = (await stored(held, job))[0]
        assert (await rollouts.load(held.storage, chunk, Wanted()))[0]["kl"] == 0.5


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
            odd = {"reward_functions": [{"name": "odd", "source": "import numpy as reward"}]}
            await reward_versions.edit(session, job.project_id, job.id, odd)
        await score(scored, 2, "2")
        await score(scored, 3, "2")
        await scored.close()
        assert [(line["rewards"], line["version"]) for line in child.lines] == [([1.0], 1)] * 3
        async with held.db.snapshot() as session:
            messages = list(await session.scalars(select(Event.message).where(Event.level == "warn")))
        assert len(messages) == 1
        assert messages[0].startswith("Rewards version 2 cannot be opened, version 1 stays")

    async def test_an_edit_that_does_not_load_costs_a_resumed_run_nothing_either(self, held: Held, job: Job) -> None:
        scored, _ = await with_rewards(held, job, "exact_match")
        async with held.db.transaction() as session:
            odd = {"reward_functions": [{"name": "odd", "source": "raise ValueError('\\0')\nreward = None"}]}
            await reward_versions.edit(session, job.project_id, job.id, odd)
        await score(scored, 1, "2")  # the first batch of an attempt that knows of no version before
        await scored.close()
        assert cast(Heard, scored.child).lines[0]["version"] == 1
        async with held.db.snapshot() as session:
            messages = list(await session.scalars(select(Event.message).where(Event.level == "warn")))
        assert messages[0].startswith("Rewards version 2 cannot be opened, version 1 stays")
        assert "\0" not in messages[0]  # PostgreSQL would not take it


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
