"""Graders over HTTP, answered by a real worker's task: user code in a process and a sandbox of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from sqlalchemy import select

from fettle.jobs import grading_requests
from fettle.settings import Settings
from models import Grading
from tests.api.served import served
from tests.api.stub_engine import StubEngine
from tests.api.tenants import Tenant, message, refusal, running, settings_in
from tests.conftest import Api
from worker import tasks
from worker.attempts.resources import Resources

RUN, VALIDATE = "/v1/fine_tuning/alpha/graders/run", "/v1/fine_tuning/alpha/graders/validate"
EQUAL = {
    "type": "string_check",
    "name": "equal",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}
LENGTH = {
    "type": "python",
    "name": "length",
    "source": "def grade(sample, item):\n    print('seen', item)\n    return len(sample['output_text']) / 4",
}
BOTH = {"type": "multi", "name": "both", "calculate_output": "equal + 2 ^ length"}


JUDGE = {
    "type": "score_model",
    "name": "judge",
    "model": "starter",
    "input": [{"role": "user", "content": "Grade {{sample.output_text}}"}],
}


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[StubEngine, str]]:
    stub = StubEngine()
    with served(stub.app) as url:
        yield stub, url


@pytest.fixture(scope="module")
async def api(engine: tuple[StubEngine, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    settings: Settings = settings_in(folder, poll_seconds=0.05, grading_seconds=20, engine_url=engine[1])
    async with running(settings) as application:
        state = application.app.state
        resources = Resources(settings, state.db, state.storage, state.models, threads=1)
        worker = asyncio.create_task(tasks.serve(resources, asyncio.Event()))
        yield application
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def ran(tenant: Tenant, grader: dict[str, Any], sample: str = "four", item: Any = None) -> dict[str, Any]:
    body = {"grader": grader, "model_sample": sample, "item": {"answer": "four"} if item is None else item}
    answer = await tenant.http.post(RUN, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


class TestRun:
    async def test_a_string_check_gives_1_or_0(self, tenant: Tenant) -> None:
        assert [(await ran(tenant, EQUAL, sample))["reward"] for sample in ("four", "five")] == [1.0, 0.0]

    @pytest.mark.parametrize("graders", [{"equal": EQUAL, "length": LENGTH}, {"equal": {**EQUAL, "name": "x"}}])
    async def test_a_multi_has_its_graders_values_as_sub_rewards(self, tenant: Tenant, graders: dict[str, Any]) -> None:
        formula = "equal + 2 ^ length" if "length" in graders else "equal + 2"
        answer = await ran(tenant, {**BOTH, "graders": graders, "calculate_output": formula})
        assert answer["reward"] == 3.0  # 1 + 2 ^ (4 ÷ 4), and 1 + 2
        assert answer["sub_rewards"] == dict.fromkeys(graders, 1.0)
        assert answer["metadata"]["scores"] == answer["sub_rewards"]

    async def test_a_multi_with_one_grader_as_the_reference_has_it(self, tenant: Tenant) -> None:
        answer = await ran(tenant, {**BOTH, "graders": EQUAL, "calculate_output": "equal / 4"})
        assert answer["reward"] == 0.25

    async def test_python_says_what_it_printed_and_what_held_it(self, tenant: Tenant) -> None:
        metadata = (await ran(tenant, LENGTH))["metadata"]
        assert metadata["printed"] == "seen {'answer': 'four'}\n"
        assert metadata["sandbox"].startswith("landlock")
        assert not any(metadata["errors"].values())

    async def test_an_exception_is_flagged_with_its_line_and_no_reward(self, tenant: Tenant) -> None:
        answer = await ran(tenant, {**LENGTH, "source": "def grade(sample, item):\n    return 1 / 0"})
        errors = answer["metadata"]["errors"]
        assert answer["reward"] is None
        assert errors["python_grader_runtime_error"] is True
        assert "line 2, in grade\n    return 1 / 0\n" in errors["python_grader_runtime_error_details"]
        assert "ZeroDivisionError" in errors["python_grader_runtime_error_details"]
        assert errors["python_grader_server_error"] is False

    async def test_source_that_does_not_load_is_flagged_the_same(self, tenant: Tenant) -> None:
        errors = (await ran(tenant, {**LENGTH, "source": "def grade(:"}))["metadata"]["errors"]
        assert errors["python_grader_runtime_error"] and "SyntaxError" in errors["python_grader_runtime_error_details"]

    async def test_an_item_without_the_templates_key_is_flagged(self, tenant: Tenant) -> None:
        answer = await ran(tenant, EQUAL, item={})
        assert answer["metadata"]["errors"]["invalid_variable_error"] is True
        assert answer["metadata"]["errors"]["other_error_details"] == "item has no 'answer'"

    async def test_a_completion_that_is_no_json_is_flagged(self, tenant: Tenant) -> None:
        answer = await ran(tenant, {**EQUAL, "input": "{{sample.output_json.a}}"})
        assert answer["metadata"]["errors"]["sample_parse_error"] is True
        assert answer["reward"] == 0.0

    async def test_a_reward_function_is_a_grader_too(self, tenant: Tenant) -> None:
        grader = {"type": "function", "name": "same", "function": "exact_match"}
        assert (await ran(tenant, grader, "<answer> four</answer>"))["reward"] == 1.0

    async def test_the_course_form_sees_prompt_completion_and_example(self, tenant: Tenant) -> None:
        source = "def reward(prompt, completion, example):\n    return float(prompt + completion == example['all'])"
        item = {"messages": [{"role": "user", "content": "2 + 2 ="}], "all": "2 + 2 =four"}
        assert (await ran(tenant, {**LENGTH, "source": source}, item=item))["reward"] == 1.0

    async def test_an_item_that_no_worker_could_be_told_is_refused_at_once(self, tenant: Tenant) -> None:
        answer = await tenant.http.post(RUN, json={"grader": EQUAL, "model_sample": "", "item": {"n": 10**30}})
        assert refusal(answer) == (400, "invalid_json", None)

    async def test_what_a_project_grades_stays_its_own_row(self, tenant: Tenant) -> None:
        await ran(tenant, EQUAL)
        async with tenant.db.snapshot() as session:
            rows = (await session.scalars(select(Grading).where(Grading.project_id == tenant.project.id))).all()
        assert len(rows) == 1 and rows[0].finished_at is not None


class TestJudges:
    async def test_the_engine_is_asked_for_json_and_its_number_is_the_reward(
        self, tenant: Tenant, engine: tuple[StubEngine, str]
    ) -> None:
        message = {"role": "assistant", "content": '{"steps": ["fine"], "result": 0.75}'}
        engine[0].answer = JSONResponse({"choices": [{"index": 0, "message": message}]})
        assert (await ran(tenant, JUDGE))["reward"] == 0.75
        asked = engine[0].seen[-1][1]
        assert asked["model"] == "starter"
        assert asked["messages"][-1] == {"role": "user", "content": "Grade four"}
        result = asked["response_format"]["json_schema"]["schema"]["properties"]["result"]
        assert (result["type"], result["minimum"], result["maximum"]) == ("number", 0, 1)

    async def test_an_engine_that_refuses_is_flagged(self, tenant: Tenant, engine: tuple[StubEngine, str]) -> None:
        engine[0].answer = JSONResponse({"error": {"message": "too long"}}, 400)
        answer = await ran(tenant, JUDGE)
        assert answer["reward"] is None
        assert answer["metadata"]["errors"]["model_grader_server_error_details"] == "too long"

    async def test_an_unknown_model_is_404_before_anything_runs(self, tenant: Tenant) -> None:
        answer = await tenant.http.post(RUN, json={"grader": {**JUDGE, "model": "gpt-5"}, "model_sample": ""})
        assert refusal(answer) == (404, "model_not_found", "model")

    async def test_a_key_that_may_not_chat_may_not_ask_models(self, tenant: Tenant) -> None:
        async with await tenant.key("jobs.write") as http:
            answer = await http.post(RUN, json={"grader": JUDGE, "model_sample": ""})
            assert refusal(answer)[:2] == (403, "insufficient_scope")


class TestValidate:
    async def test_a_good_grader_comes_back(self, tenant: Tenant) -> None:
        answer = await tenant.http.post(VALIDATE, json={"grader": EQUAL})
        assert answer.json() == {"grader": EQUAL}

    async def test_python_that_loads_comes_back(self, tenant: Tenant) -> None:
        answer = await tenant.http.post(VALIDATE, json={"grader": LENGTH}, timeout=60)
        assert answer.json() == {"grader": LENGTH}

    @pytest.mark.parametrize(
        ("grader", "param", "words"),
        [
            ({**EQUAL, "operation": "is"}, "grader.operation", "'eq', 'ne', 'neq', 'like' or 'ilike'"),
            ({**EQUAL, "input": "{{answer}}"}, "grader.input", "{{answer}} is not a variable"),
            ({**EQUAL, "colour": "red"}, "grader.colour", "Unknown parameter"),
            ({**LENGTH, "image_tag": 5}, "grader.image_tag", "a string"),
            ({**LENGTH, "source": "x = 1"}, "grader", "defines none of: grade, reward"),
            ({**LENGTH, "source": "#" * 256_001}, "grader", "at most 256,000"),
            ({**BOTH, "graders": {"equal": EQUAL}}, "grader", "there is no grader 'length'"),
            ({"type": "function", "name": "f", "function": "luck"}, "grader", "There is no reward function 'luck'"),
            (
                {"type": "text_similarity", "name": "t", "input": "", "reference": "", "evaluation_metric": "meteor"},
                "grader",
                "WordNet",
            ),
        ],
    )
    async def test_a_bad_one_is_refused_with_its_place(
        self, tenant: Tenant, grader: dict[str, Any], param: str, words: str
    ) -> None:
        answer = await tenant.http.post(VALIDATE, json={"grader": grader}, timeout=60)
        assert (refusal(answer)[0], refusal(answer)[2]) == (400, param)
        assert words in message(answer)


class TestReach:
    async def test_without_a_worker_it_says_so(self, tmp_path: Path) -> None:
        async with running(settings_in(tmp_path, grading_seconds=0.1)) as api, await api.client() as http:
            answer = await http.post(RUN, json={"grader": EQUAL, "model_sample": "four", "item": {}})
        assert refusal(answer)[0] == 503
        assert "Check that `fettle worker` is running" in message(answer)

    async def test_a_grader_that_never_ends_is_ended(self, tmp_path: Path) -> None:
        settings = settings_in(tmp_path, grader_seconds=0.5)
        async with running(settings) as api:
            state = api.app.state
            resources = Resources(settings, state.db, state.storage, state.models, threads=1)
            looping = {**LENGTH, "source": "def grade(sample, item):\n    while True: pass"}
            graders = [{"name": "length", "weight": 1.0, "grader": looping}]
            sample = {"prompt": "", "completion": ""}
            result = await tasks.grade(resources, {"graders": graders, "samples": [sample], "models": {}})
        assert "no result within 0.5 seconds" in result["scores"][0]["errors"]["length"]["message"]

    async def test_old_requests_are_swept(self, tenant: Tenant) -> None:
        async with tenant.db.transaction() as session:
            old = await grading_requests.create(session, tenant.project.id, {})
            old.created_at = 1.0
        async with tenant.db.transaction() as session:
            await grading_requests.sweep(session)
        async with tenant.db.snapshot() as session:
            assert await session.get(Grading, old.id) is None


class TestTry:
    """A reward function on samples, before it is saved."""

    SOURCE = "def reward(prompt, completion, example):\n    print(prompt)\n    return 1 / (len(completion) - 4)"

    async def tried(self, tenant: Tenant, source: str, *completions: str) -> Any:
        samples = [{"completion": each, "item": {"prompt": f"about {each}"}} for each in completions]
        body = {"source": source, "samples": samples}
        return await tenant.http.post("/v1/reward_functions/try", json=body, timeout=60)

    async def test_each_sample_has_its_score_its_prints_and_its_seconds(self, tenant: Tenant) -> None:
        found = (await self.tried(tenant, self.SOURCE, "fives", "four")).json()
        good, bad = found["data"]
        assert (good["score"], good["printed"], good["error"]) == (1.0, "about fives\n", None)
        assert bad["score"] is None
        assert "ZeroDivisionError" in bad["error"]
        assert all(0 < each["seconds"] < 20 for each in found["data"])
        assert found["sandbox"]

    async def test_source_that_does_not_load_is_refused(self, tenant: Tenant) -> None:
        refused = await self.tried(tenant, "import no_such_module\n" + self.SOURCE, "a")
        assert refusal(refused) == (400, "invalid_grader", "source")
        assert "no_such_module" in message(refused)


async def test_the_functions_are_listed_with_parameters_and_examples(tenant: Tenant) -> None:
    functions = (await tenant.http.get("/v1/reward_functions")).json()["data"]
    assert "exact_match" in {function["name"] for function in functions}
    for function in functions:
        assert function["description"] and function["examples"]
        assert function["parameters"]["type"] == "object"
