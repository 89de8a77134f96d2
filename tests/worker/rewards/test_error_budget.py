"""Graders that fail, overrun or say too much: what it costs a rollout, a batch, the job."""

import asyncio
import sys
from pathlib import Path

import pytest

from fettle.errors import TrainingFailed
from fettle.jobs import reward_versions
from fettle.rewards.grader_fields import check
from models import Job
from tests.fettle.rollouts.chunks import loaded
from tests.worker.rewards.scoring import BROKEN, LONGER, MEANS, batch, score, stored, with_rewards
from worker.attempts.attempt import Attempt
from worker.rewards import scorer_client
from worker.rewards.scorer_client import Scorer

pytestmark = pytest.mark.slow  # each starts a scorer process


class TestErrors:
    async def test_a_few_failures_mark_their_rollouts(self, attempt: Attempt) -> None:
        recorder, child = await with_rewards(attempt, {"name": "broken", "source": BROKEN})
        await score(recorder, 1, "a", "a", "a", "a", "b")  # one of five: not more than 20 %
        await recorder.store({"type": "rollouts", "step": 1, "advantages": [0.0] * 5})
        await recorder.close()
        assert child.lines[0]["rewards"] == [1.0, 1.0, 1.0, 1.0, None]
        (chunk,) = await stored(attempt)
        assert chunk.summary["errors"] == 1
        failed = (await loaded(attempt.storage, chunk))[4]
        assert "KeyError" in failed["errors"]["broken"]["message"]

    async def test_past_a_fifth_the_job_fails_with_a_traceback(self, attempt: Attempt) -> None:
        recorder, child = await with_rewards(attempt, {"name": "broken", "source": BROKEN})
        with pytest.raises(TrainingFailed) as failure:
            await score(recorder, 1, "a", "a", "a", "b", "b")
        await recorder.close()
        assert failure.value.code == "graders_failed"
        assert "2 of 5 completions" in failure.value.message
        assert "KeyError" in failure.value.message
        assert child.lines == []

    async def test_completions_that_are_not_json_score_0_and_never_fail_the_job(self, attempt: Attempt) -> None:
        json_answer = {
            "type": "string_check", "name": "json", "operation": "eq", "input": "{{sample.output_json.answer}}",
            "reference": "2",
        }  # fmt: skip
        recorder, child = await with_rewards(attempt, json_answer)
        await score(recorder, 1, "a", "{", "[", '{"answer": 2}')
        await recorder.store({"type": "rollouts", "step": 1, "advantages": [0.0] * 4})
        await recorder.close()
        assert child.lines[0]["rewards"] == [0.0, 0.0, 0.0, 1.0]
        (chunk,) = await stored(attempt)
        marked = await loaded(attempt.storage, chunk)
        assert [each["errors"].get("json", {}).get("flag") for each in marked] == ["sample_parse_error"] * 3 + [None]

    async def test_code_that_does_not_load_fails_the_job(self, attempt: Attempt) -> None:
        recorder, _ = await with_rewards(attempt, {"name": "odd", "source": "import numpy as reward"})
        with pytest.raises(TrainingFailed, match="cannot be started"):
            await score(recorder, 1, "2")
        await recorder.close()

    async def test_graders_are_opened_before_the_first_batch_and_fail_the_job_then(self, attempt: Attempt) -> None:
        recorder, child = await with_rewards(attempt, {"name": "odd", "source": "import numpy as reward"})
        recorder.open()
        assert recorder.scoring is not None
        await asyncio.wait({recorder.scoring})
        with pytest.raises(TrainingFailed) as failure:
            recorder.check()
        await recorder.close()
        assert failure.value.code == "graders_failed"
        assert child.lines == []

    async def test_on_a_machine_that_cannot_confine_the_job_fails_and_names_the_way_out(
        self, attempt: Attempt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The scorer gets a kernel without Landlock: that is what a machine without it answers."""
        blind = tmp_path / "blind.py"
        blind.write_text(
            "from fettle.rewards.sandbox import landlock\nlandlock.abi = lambda: 0\n"
            "from worker.rewards.scorer_process import main\nmain()\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(Path(scorer_client.__file__).parents[2]))
        monkeypatch.setattr(scorer_client, "COMMAND", (sys.executable, str(blind)))
        recorder, child = await with_rewards(attempt, {"name": "long", "source": LONGER})
        recorder.open()
        assert recorder.scoring is not None
        with pytest.raises(TrainingFailed) as failure:
            await recorder.scoring
        await recorder.close()
        assert failure.value.code == "sandbox_unavailable"
        assert "needs a kernel with Landlock" in failure.value.message
        assert "functions that need no sandbox" in failure.value.message
        assert child.lines == []
        async with attempt.resources.db.snapshot() as session:
            assert (await session.get_one(Job, attempt.job.id)).sandbox is None

    async def test_a_scorer_that_hangs_is_killed_and_the_next_batch_has_a_new_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        exact = check({"reward_functions": ["exact_match"]})
        scoring = Scorer({**MEANS, "limits": {**MEANS["limits"], "seconds": 1.0}}, seconds=1)
        with monkeypatch.context() as hanging:
            hanging.setattr(scorer_client, "COMMAND", (sys.executable, "-c", "import time; time.sleep(600)"))
            lost, _ = await scoring.score(1, exact, batch("2", "2"))
        assert lost["reward"] is None
        assert "longer than 3 s for 2 completions" in lost["errors"]["exact_match"]["message"]
        assert scoring.process is None
        scoring.seconds = 60  # a new process takes its time on a busy machine
        (right,) = await scoring.score(2, exact, batch("2"))
        await scoring.close()
        assert right["reward"] == 1.0

    async def test_a_slow_grader_costs_the_rows_that_it_is_slow_with(self) -> None:
        source = "import time\ndef reward(p, c, e):\n    time.sleep(600 if c == 'slow' else 0.4)\n    return 1.0\n"
        slow = check({"reward_functions": [{"name": "slow", "source": source}]})
        scoring = Scorer({**MEANS, "limits": {**MEANS["limits"], "seconds": 3.0}}, seconds=60)
        await scoring.score(1, slow, batch("2"))
        scoring.seconds = 0.5  # too short for the batch, of which each has its own limit
        found = await scoring.score(1, slow, batch("2", "slow", "2"))
        await scoring.close()
        assert [each["reward"] for each in found] == [1.0, None, 1.0]
        assert "no result within 3 seconds" in found[1]["errors"]["slow"]["message"]

    async def test_slow_tools_have_time_for_each_call(self) -> None:
        slow = {"name": "slow", "source": "import time\ndef slow():\n    time.sleep(0.4)\n    return 'done'\n"}
        scoring = Scorer(MEANS, seconds=60)
        assert await scoring.call([slow], [{"name": "slow", "arguments": "{}"}]) == [{"text": "done", "failed": False}]
        scoring.seconds = 0.5  # too short for three of them, each of which has its own limit
        results = await scoring.call([slow], [{"name": "slow", "arguments": "{}"}] * 3)
        await scoring.close()
        assert [result["text"] for result in results] == ["done"] * 3

    async def test_graders_that_say_too_much_cost_the_batch_and_no_attempt(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scorer_client, "LINE_LIMIT", 1 << 10)
        loud = check({"reward_functions": [{"name": "loud", "source": LONGER}]})
        scoring = Scorer(MEANS)
        (lost,) = await scoring.score(1, loud, batch("2" * 2000))
        await scoring.close()
        assert lost["reward"] is None
        assert "for 1 completion." in lost["errors"]["loud"]["message"]

    async def test_the_job_says_how_many_may_fail(self, attempt: Attempt) -> None:
        for allowed, fails in ((0.5, False), (0.3, True)):
            attempt.job.method = {
                "type": "reinforcement",
                "reinforcement": {"hyperparameters": {"max_grader_errors": allowed}},
            }
            recorder, _ = await with_rewards(attempt, {"name": "broken", "source": BROKEN})
            if fails:
                with pytest.raises(TrainingFailed, match="max_grader_errors allows 30%"):
                    await score(recorder, 1, "a", "a", "a", "b", "b")
            else:
                await score(recorder, 1, "a", "a", "a", "b", "b")
            await recorder.close()

    async def test_the_traceback_is_the_users_own_with_its_lines_and_no_path_of_ours(self, attempt: Attempt) -> None:
        source = "import json\n\ndef pick(text):\n    return json.loads(text)['n']\n\n\n"
        source += "def reward(prompt, completion, example):\n    return pick(completion)\n"
        recorder, _ = await with_rewards(attempt, {"name": "picky", "source": source})
        with pytest.raises(TrainingFailed) as failure:
            await score(recorder, 1, "no json", "{}")
        await recorder.close()
        said = failure.value.message
        assert 'File "<grader>", line 8, in reward\n    return pick(completion)' in said
        assert 'File "<grader>", line 4, in pick\n' in said
        assert "JSONDecodeError" in said and "KeyError: 'n'" in said
        assert ".py" not in said and "/lib" not in said

    async def test_a_long_traceback_is_cut_in_its_middle(self, attempt: Attempt) -> None:
        source = "def reward(prompt, completion, example):\n    raise ValueError('x' * 9000 + 'end')\n"
        recorder, _ = await with_rewards(attempt, {"name": "loud", "source": source})
        with pytest.raises(TrainingFailed) as failure:
            await score(recorder, 1, "a")
        await recorder.close()
        assert len(failure.value.message) < 1300
        assert failure.value.message.endswith("xxend")

    async def test_an_edit_that_fails_everywhere_is_not_covered_by_what_went_well_before(
        self, attempt: Attempt
    ) -> None:
        recorder, _ = await with_rewards(attempt, "exact_match")
        for step in range(1, 11):
            await score(recorder, step, "2", "3")
        async with attempt.resources.db.transaction() as session:
            edit = {"reward_functions": [{"name": "broken", "source": BROKEN}]}
            await reward_versions.edit(session, attempt.job.project_id, attempt.job.id, edit)
        with pytest.raises(TrainingFailed, match="failed on 1 of 1 completions"):
            await score(recorder, 11, "b")
        await recorder.close()
