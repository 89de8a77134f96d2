"""Dry runs over HTTP: a real worker's task draws prompts, asks an engine, and scores what it says."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse

from tests.api.served import served
from tests.api.stub_engine import StubEngine
from tests.api.tenants import Tenant, message, refusal, running, settings_in
from tests.conftest import Api
from worker import tasks
from worker.attempts.resources import Resources

DRY_RUNS = "/v1/fine_tuning/dry_runs"
BREAKS = "def reward(prompt, completion, example):\n    print('saw', completion)\n    return 1 / 0\n"


@pytest.fixture(scope="module")
def stub() -> StubEngine:
    return StubEngine()


@pytest.fixture
def engine(stub: StubEngine) -> StubEngine:
    """Says "4" to everything, unless a test gives it another answer."""
    stub.answer = None
    stub.seen.clear()
    return stub


@pytest.fixture(scope="module")
def engine_url(stub: StubEngine) -> Iterator[str]:
    with served(stub.app) as url:
        yield url


@pytest.fixture(scope="module")
async def api(engine_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    settings = settings_in(tmp_path_factory.mktemp("api"), poll_seconds=0.05, grading_seconds=60, engine_url=engine_url)
    async with running(settings) as application:
        state = application.app.state
        resources = Resources(settings, state.db, state.storage, state.models, threads=1)
        worker = asyncio.create_task(tasks.serve(resources, asyncio.Event()))
        yield application
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


def prompts(count: int) -> bytes:
    """The answer of every second row is 4."""
    lines = [{"prompt": f"row {n}", "answer": "4" if n % 2 == 0 else "5"} for n in range(count)]
    return "\n".join(map(json.dumps, lines)).encode()


async def body(tenant: Tenant, *rewards: Any, count: int = 16, **extra: Any) -> dict[str, Any]:
    """Of a job, as POST /v1/fine_tuning/jobs takes it."""
    hyperparameters = {"group_size": 4, "max_completion_tokens": 20, "temperature": 0.7}
    method = {"reward_functions": list(rewards) or ["exact_match"], "hyperparameters": hyperparameters}
    return {
        "model": "starter",
        "training_file": (await tenant.upload(prompts(count)))["id"],
        "suffix": "x",
        "method": {"type": "grpo", "grpo": method},
        **extra,
    }


async def ran(tenant: Tenant, asked: dict[str, Any]) -> Any:
    answer = await tenant.http.post(DRY_RUNS, json=asked, timeout=90)
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestAFinding:
    async def test_a_group_of_each_prompt_is_written_as_the_job_would_and_scored(
        self, tenant: Tenant, engine: StubEngine
    ) -> None:
        found = await ran(tenant, await body(tenant, prompts=16))
        assert found["object"] == "fine_tuning.dry_run"
        assert (found["prompts"], found["samples"], found["completions"], found["groups"]) == (16, 4, 64, 16)
        assert found["rewards"] == {"mean": 0.5, "std": 0.5, "min": 0.0, "max": 1.0}  # every second answer is 4
        assert found["scores"]["exact_match"] == found["rewards"]
        assert (found["dead_groups"], found["refused"], found["unfinished"], found["failures"]) == (1.0, 0, 0, [])
        assert [warning["code"] for warning in found["warnings"]] == ["no_spread"]
        assert {example["reward"] for example in found["examples"]} == {0.0, 1.0}
        assert found["examples"][0]["completion"] == "4"
        assert all(found["seconds"][name] >= 0 for name in ("generation_per_sample", "scoring_per_sample"))
        sent = [asked for path, asked in engine.seen if path == "/v1/chat/completions"]
        assert len(sent) == 64
        assert {asked["messages"][0]["content"] for asked in sent} == {f"row {n}" for n in range(16)}
        assert {(asked["temperature"], asked["max_completion_tokens"]) for asked in sent} == {(0.7, 20)}
        assert len({asked["seed"] for asked in sent}) == 64

    async def test_completions_are_held_to_the_jobs_response_format(self, tenant: Tenant, engine: StubEngine) -> None:
        asked = await body(tenant)
        asked["method"]["grpo"]["response_format"] = {"type": "json_object"}
        await ran(tenant, asked)
        assert [said["response_format"] for _, said in engine.seen] == [{"type": "json_object"}] * len(engine.seen)

    async def test_where_nothing_is_ever_right_it_warns_and_names_the_way_out(
        self, tenant: Tenant, engine: StubEngine
    ) -> None:
        never = {"name": "regex", "parameters": {"pattern": "zebra"}}
        found = await ran(tenant, await body(tenant, never, prompts=2, samples=2))
        (warning,) = found["warnings"]
        assert warning["code"] == "nothing_earned"
        assert "start from a model that supervised fine-tuning has trained" in warning["message"]

    async def test_user_code_that_fails_shows_its_own_lines_and_what_it_printed(
        self, tenant: Tenant, engine: StubEngine
    ) -> None:
        found = await ran(tenant, await body(tenant, {"name": "mine", "source": BREAKS}, prompts=3, samples=2))
        (failure,) = found["failures"]
        assert (failure["grader"], failure["count"]) == ("mine", 6)
        assert "line 3, in reward\n" in failure["message"] and "ZeroDivisionError" in failure["message"]
        assert found["examples"][0]["printed"] == "saw 4\n"
        assert found["sandbox"].startswith("landlock")
        assert [warning["code"] for warning in found["warnings"]] == ["grader_errors"]

    async def test_the_same_seed_draws_the_same_prompts(self, tenant: Tenant, engine: StubEngine) -> None:
        asked = await body(tenant, prompts=3, samples=2)
        drawn = []
        for seed in (1, 1, 2):
            engine.seen.clear()
            await ran(tenant, {**asked, "seed": seed})
            drawn.append({sent["messages"][0]["content"] for path, sent in engine.seen})
        assert drawn[0] == drawn[1] != drawn[2]

    async def test_a_tuned_model_is_tried_as_the_job_would_start_from_it(
        self, tenant: Tenant, engine: StubEngine, tmp_path: Path
    ) -> None:
        name = await tenant.publish((await tenant.job())["id"], tmp_path)
        found = await ran(tenant, await body(tenant, model=name, prompts=1, samples=2))
        assert found["model"] == name
        assert {sent["model"] for path, sent in engine.seen if path == "/v1/chat/completions"} == {name}


class TestRefusals:
    async def test_a_method_without_rewards_has_nothing_to_try(self, tenant: Tenant) -> None:
        file = await tenant.upload()
        answer = await tenant.http.post(DRY_RUNS, json={"model": "starter", "training_file": file["id"]})
        assert refusal(answer) == (400, "invalid_value", "method.type")
        assert "'supervised' learns from no rewards" in message(answer)

    @pytest.mark.parametrize(
        ("extra", "param"),
        [
            ({"prompts": 33}, "prompts"),
            ({"samples": 17}, "samples"),
            ({"samples": 1}, "samples"),
            ({"model": "gpt-9"}, "model"),
            ({"training_file": "file-none"}, "training_file"),
            ({"colour": "red"}, "colour"),
        ],
    )
    async def test_what_a_job_would_be_refused_for_is_refused_here(
        self, tenant: Tenant, extra: dict[str, Any], param: str
    ) -> None:
        answer = await tenant.http.post(DRY_RUNS, json=await body(tenant, **extra))
        assert answer.status_code in (400, 404) and refusal(answer)[2] == param

    async def test_another_tenants_file_is_none(self, tenant: Tenant, other: Tenant) -> None:
        theirs = await body(other)
        answer = await tenant.http.post(DRY_RUNS, json=theirs)
        assert refusal(answer) == (400, "file_not_found", "training_file")

    async def test_a_key_that_may_not_chat_may_not_have_the_model_talk(self, tenant: Tenant) -> None:
        async with await tenant.key("jobs.write") as http:
            assert refusal(await http.post(DRY_RUNS, json=await body(tenant)))[:2] == (403, "insufficient_scope")

    async def test_source_that_does_not_load_is_refused_before_anything_is_written(
        self, tenant: Tenant, engine: StubEngine
    ) -> None:
        asked = await body(tenant, {"name": "mine", "source": "import numpy as reward"})
        answer = await tenant.http.post(DRY_RUNS, json=asked, timeout=90)
        assert refusal(answer) == (400, "invalid_grader", "method")
        assert "No module named 'numpy'" in message(answer)
        assert engine.seen == []

    async def test_an_engine_that_refuses_everything_is_quoted(self, tenant: Tenant, engine: StubEngine) -> None:
        engine.answer = JSONResponse({"error": {"message": "the prompt is too long"}}, 400)
        answer = await tenant.http.post(DRY_RUNS, json=await body(tenant, prompts=1, samples=2), timeout=90)
        assert refusal(answer)[0] == 503
        assert "the prompt is too long" in message(answer)

    async def test_a_dry_run_makes_no_job(self, tenant: Tenant, engine: StubEngine) -> None:
        await ran(tenant, await body(tenant, prompts=1, samples=2))
        assert (await tenant.http.get("/v1/fine_tuning/jobs")).json()["data"] == []
