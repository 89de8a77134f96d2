"""Advice over HTTP: counted from a file or given, and measured by a real worker's task on a small engine."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi.responses import JSONResponse

from fettle.advice.measuring import INSTRUCTION
from tests.api.served import served
from tests.api.stub_engine import StubEngine
from tests.api.tenants import Tenant, jsonl, message, refusal, running, settings_in
from tests.conftest import Api
from worker import tasks
from worker.attempts.resources import Resources

ADVISE = "/v1/fine_tuning/advise"


@pytest.fixture(scope="module")
def stub() -> StubEngine:
    return StubEngine()


@pytest.fixture
def engine(stub: StubEngine) -> StubEngine:
    """Says "4" to everything."""
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


def prompts(right: int, count: int = 12) -> bytes:
    """The answer of the first `right` rows is 4, which is what the engine says."""
    return "\n".join(
        json.dumps({"prompt": f"row {n}", "answer": "4" if n < right else "5"}) for n in range(count)
    ).encode()


async def advised(tenant: Tenant, **body: Any) -> Any:
    answer = await tenant.http.post(ADVISE, json=body, timeout=90)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def measured(tenant: Tenant, content: bytes, **body: Any) -> Any:
    file = (await tenant.upload(content))["id"]
    asked = {"base": "starter", "reward_functions": ["exact_match"], "prompts": 12, "samples": 2, **body}
    return await advised(tenant, file=file, **asked)


class TestCounting:
    async def test_counts_are_enough(self, tenant: Tenant) -> None:
        found = await advised(tenant, counts={"labels": 5000}, goal="task")
        assert found["object"] == "fine_tuning.advice"
        first = found["methods"][0]
        assert (first["method"], first["jobs"], first["possible"]) == ("supervised", ["supervised"], True)
        assert found["measured"] is None
        assert "send also 'file' and 'base' and 'reward_functions'" in found["not_measured"]

    async def test_a_file_is_counted(self, tenant: Tenant) -> None:
        found = await advised(tenant, file=(await tenant.upload(jsonl(40)))["id"], verifiable=True)
        assert (found["situation"]["labels"], found["situation"]["prompts"]) == (40, 40)
        assert found["methods"][0]["method"] == "reinforcement"

    async def test_completions_that_show_their_reasoning_are_counted(self, tenant: Tenant) -> None:
        rows = [{"prompt": f"{n}", "completion": f"<think>{n}</think><answer>1</answer>"} for n in range(40)]
        file = await tenant.upload("\n".join(map(json.dumps, rows)).encode())
        found = await advised(tenant, file=file["id"], verifiable=True)
        assert (found["situation"]["goal"], found["situation"]["reasoned"]) == ("reasoning", 40)
        assert found["methods"][0]["jobs"] == ["supervised", "reinforcement"]

    async def test_comparisons_are_counted(self, tenant: Tenant) -> None:
        rows = [{"prompt": f"{n}", "chosen": "a good one", "rejected": "a bad one"} for n in range(20)]
        file = await tenant.upload("\n".join(map(json.dumps, rows)).encode())
        found = await advised(tenant, file=file["id"])
        assert (found["situation"]["goal"], found["situation"]["pairs"]) == ("preference", 20)
        assert found["methods"][0]["method"] == "dpo"


class TestMeasuring:
    async def test_a_third_right_is_what_reinforcement_learns_from(self, tenant: Tenant, engine: StubEngine) -> None:
        found = await measured(tenant, prompts(right=4))
        plain = found["measured"]["without_instruction"]
        assert (plain["completions"], plain["right"]) == (24, 8)
        assert plain["pass_at_1"] == plain["pass_at_k"] == pytest.approx(1 / 3, abs=1e-4)
        assert found["methods"][0]["method"] == "reinforcement"
        assert "no clear difference" in found["measured"]["message"]
        sent = [asked["messages"] for path, asked in engine.seen if path == "/v1/chat/completions"]
        told = [messages for messages in sent if messages[0] == {"role": "system", "content": INSTRUCTION}]
        assert (len(sent), len(told)) == (48, 24)

    async def test_never_right_means_supervised_first(self, tenant: Tenant, engine: StubEngine) -> None:
        found = await measured(tenant, prompts(right=0))
        assert found["measured"]["without_instruction"]["pass_at_k"] == 0
        assert found["methods"][0]["method"] == "collect_data"
        assert "supervised_then_reinforcement" in [step["then"] for step in found["collect"]]

    async def test_always_right_means_nothing_to_learn(self, tenant: Tenant, engine: StubEngine) -> None:
        found = await measured(tenant, prompts(right=12))
        assert found["methods"][0]["method"] == "nothing_to_learn"
        assert found["methods"][0]["jobs"] == []

    async def test_a_threshold_says_what_is_right(self, tenant: Tenant, engine: StubEngine) -> None:
        half = {"name": "exact_match", "weight": 0.5}
        found = await measured(tenant, prompts(right=4), reward_functions=[half])
        assert (found["measured"]["pass_threshold"], found["measured"]["without_instruction"]["right"]) == (0.5, 8)
        found = await measured(tenant, prompts(right=4), reward_functions=[half], pass_threshold=0.6)
        assert found["measured"]["without_instruction"]["right"] == 0

    async def test_a_file_that_has_no_prompts_to_answer_is_advised_on_all_the_same(self, tenant: Tenant) -> None:
        rows = [{"prompt": f"{n}", "chosen": "a good one", "rejected": "a bad one"} for n in range(20)]
        found = await measured(tenant, "\n".join(map(json.dumps, rows)).encode())
        assert found["measured"] is None and "holds rows of the shape 'preference'" in found["not_measured"]
        assert found["methods"][0]["method"] == "dpo"

    async def test_an_engine_that_refuses_is_quoted_and_the_advice_stands(
        self, tenant: Tenant, engine: StubEngine
    ) -> None:
        engine.answer = JSONResponse({"error": {"message": "the prompt is too long"}}, 400)
        found = await measured(tenant, prompts(right=4))
        assert found["measured"] is None and "the prompt is too long" in found["not_measured"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({}, "file"),
            ({"file": "file-x", "counts": {}}, "file"),
            ({"counts": {"labels": -1}}, "counts.labels"),
            ({"counts": {"colour": 1}}, "counts.colour"),
            ({"counts": {}, "goal": "fame"}, "goal"),
            ({"counts": {}, "samples": 1}, "samples"),
            ({"counts": {}, "colour": 1}, "colour"),
        ],
        ids=str,
    )
    async def test_what_is_wrong_is_named(self, tenant: Tenant, body: dict[str, Any], param: str) -> None:
        assert refusal(await tenant.http.post(ADVISE, json=body))[::2] == (400, param)

    async def test_another_tenants_file_is_none(self, tenant: Tenant, other: Tenant) -> None:
        theirs = (await other.upload())["id"]
        answer = await tenant.http.post(ADVISE, json={"file": theirs})
        assert refusal(answer) == (404, "not_found", "file_id")
        asked = {"file": theirs, "base": "starter", "reward_functions": ["exact_match"]}
        assert refusal(await tenant.http.post(ADVISE, json=asked))[0] == 404

    async def test_another_tenants_model_is_none(self, tenant: Tenant, other: Tenant, tmp_path: Any) -> None:
        theirs = await other.publish((await other.job())["id"], tmp_path)
        file = (await tenant.upload(prompts(4)))["id"]
        asked = {"file": file, "base": theirs, "reward_functions": ["exact_match"]}
        assert refusal(await tenant.http.post(ADVISE, json=asked))[:2] == (404, "model_not_found")

    async def test_a_reward_that_there_is_not_is_named(self, tenant: Tenant) -> None:
        file = (await tenant.upload(prompts(4)))["id"]
        asked = {"file": file, "base": "starter", "reward_functions": ["no_such"]}
        answer = await tenant.http.post(ADVISE, json=asked)
        assert answer.status_code == 400 and "no_such" in message(answer)
        assert str(refusal(answer)[2]).startswith("reward_functions")
