"""Evals by the unmodified SDK, run by a worker in a thread of its own."""

import time
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from openai import BadRequestError, OpenAI

from fettle import ids
from fettle.jobs import reward_versions
from fettle.settings import Settings
from models import Job, Project
from tests.api.stub_engine import USAGE, StubEngine
from tests.api.tenants import Tenant
from tests.conformance.working import working
from tests.conftest import Api
from worker.background import evals
from worker.jobs import own_eval

pytestmark = pytest.mark.slow  # starts a server for the SDK

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
CHECK: Any = {"type": "string_check", "name": "right", "operation": "ilike", "input": "{{sample.output_text}}"}


def completed(client: OpenAI, run: Any) -> Any:
    deadline = time.monotonic() + 120
    while (now := client.evals.runs.retrieve(run.id, eval_id=run.eval_id)).status != "completed":
        assert now.status in ("queued", "in_progress") and time.monotonic() < deadline, now
        time.sleep(0.05)
    return now


def test_an_eval_is_run_over_a_file_and_read_item_by_item(client: OpenAI, api: Api, settings: Settings) -> None:
    task = client.evals.create(
        name="sums",
        data_source_config={"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True},
        testing_criteria=[{**CHECK, "reference": "{{item.answer}}"}],
    )
    line = b'{"item": {"answer": "5"}, "sample": {"output_text": "It is %d."}}'
    file = client.files.create(file=("rows.jsonl", line % 5 + b"\n" + line % 6), purpose="evals")
    source: Any = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    first, second = (client.evals.runs.create(task.id, name="given", data_source=source) for _ in range(2))
    assert client.evals.runs.cancel(second.id, eval_id=task.id).status == "canceled"
    with working(api, settings, evals.serve):
        run = completed(client, first)
    assert (run.result_counts.total, run.result_counts.passed, run.result_counts.failed) == (2, 1, 1)
    items = list(client.evals.runs.output_items.list(run.id, eval_id=task.id, limit=1))
    assert [item.status for item in items] == ["pass", "fail"]
    assert items[0].results[0].passed and items[1].datasource_item == {"answer": "5"}
    failed = client.evals.runs.output_items.list(run.id, eval_id=task.id, status="fail").data
    assert [item.id for item in failed] == [items[1].id]
    assert {each.id for each in client.evals.runs.list(task.id)} == {first.id, second.id}
    assert client.evals.runs.delete(run.id, eval_id=task.id).deleted
    assert client.evals.update(task.id, name="new").name == "new"
    assert client.evals.delete(task.id).deleted
    assert client.evals.list().data == []


async def test_stored_completions_are_graded_as_they_are_and_answered_anew(
    client: OpenAI, api: Api, settings: Settings, tenant: Tenant, engine: tuple[StubEngine, str]
) -> None:
    async with tenant.db.transaction() as session:
        (await session.get_one(Project, tenant.project.id)).stores_completions = True
    for version in ("v1", "v1", "v2"):
        choice = {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
        head = {"id": ids.new("chatcmpl-"), "object": "chat.completion", "created": 1, "model": "starter"}
        engine[0].answer = JSONResponse({**head, "choices": [choice], "usage": USAGE})
        client.chat.completions.create(
            model="starter",
            messages=[{"role": "user", "content": "2 + 2 ="}],
            store=True,
            metadata={"use": "sums", "version": version},
        )
    engine[0].answer = None
    task = client.evals.create(
        data_source_config={"type": "logs", "metadata": {"use": "sums"}},
        testing_criteria=[
            {**CHECK, "reference": "4"},
            {**CHECK, "name": "asked", "input": "{{item.input}}", "reference": "2 + 2 ="},
        ],
    )
    assert (task.data_source_config.type, task.data_source_config.metadata) == ("logs", {"use": "sums"})
    older = client.evals.create(
        data_source_config={"type": "stored_completions"}, testing_criteria=[{**CHECK, "reference": "4"}]
    )
    assert older.data_source_config.type == "stored_completions"
    source: Any = {"type": "stored_completions", "metadata": {"version": "v1"}, "model": "starter", "created_after": 1}
    kept = client.evals.runs.create(task.id, data_source={"type": "completions", "source": source})
    anew = client.evals.runs.create(
        task.id,
        data_source={
            "type": "completions",
            "source": {"type": "stored_completions", "limit": 1},
            "model": "starter",
            "input_messages": {"type": "item_reference", "item_reference": "item.input"},
        },
    )
    gone = client.evals.runs.create(
        older.id, data_source={"type": "completions", "source": {"type": "stored_completions"}}
    )
    with pytest.raises(BadRequestError, match="No stored chat completion"):
        client.evals.runs.create(
            task.id, data_source={"type": "completions", "source": {**source, "created_before": 1}}
        )
    client.chat.completions.delete(client.chat.completions.list(limit=1, order="desc").data[0].id)
    with working(api, settings, evals.serve):
        first, second, third = (completed(client, run) for run in (kept, anew, gone))
    assert (first.result_counts.total, first.result_counts.passed, first.per_model_usage) == (2, 2, [])
    items = client.evals.runs.output_items.list(first.id, eval_id=task.id).data
    assert items[0].sample.input[0].content == "2 + 2 =" and items[0].datasource_item["metadata"]["version"] == "v1"
    assert items[0].sample.model == "starter"
    assert (second.result_counts.total, second.result_counts.errored) == (1, 1)
    assert (third.result_counts.passed, third.result_counts.errored) == (2, 1)
    (lost,) = [
        each for each in client.evals.runs.output_items.list(third.id, eval_id=older.id) if each.status == "error"
    ]
    assert "was deleted" in lost.sample.error.message


def test_stored_responses_are_graded_with_the_conversation_before_them(
    client: OpenAI, api: Api, settings: Settings, engine: tuple[StubEngine, str]
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
    head = {"id": ids.new("chatcmpl-"), "object": "chat.completion", "created": 1, "model": "starter"}
    engine[0].answer = JSONResponse({**head, "choices": [choice], "usage": USAGE})
    first = client.responses.create(model="starter", input="2 + 2 =", metadata={"use": "sums"})
    second = client.responses.create(
        model="starter",
        instructions="Answer with a 100% sure number.",
        input="And again?",
        previous_response_id=first.id,
        metadata={"use": "sums"},
        temperature=0.5,
    )
    engine[0].answer = None
    task = client.evals.create(
        data_source_config={"type": "logs", "metadata": {"use": "sums"}},
        testing_criteria=[{**CHECK, "reference": "4"}],
    )
    found: Any = {"type": "responses", "model": "starter", "created_after": 1, "created_before": 2**33}
    narrow: Any = {**found, "instructions_search": "100% SURE".lower(), "temperature": 0.5, "top_p": 1.0}
    every = client.evals.runs.create(task.id, data_source={"type": "responses", "source": found})
    one = client.evals.runs.create(task.id, data_source={"type": "responses", "source": narrow})
    anew = client.evals.runs.create(task.id, data_source={"type": "responses", "source": narrow, "model": "starter"})
    for missed in ({"instructions_search": "100_"}, {"temperature": 0.4}, {"metadata": {"use": "x"}}, {"model": "x"}):
        with pytest.raises(BadRequestError, match="No stored response"):
            client.evals.runs.create(task.id, data_source={"type": "responses", "source": {**narrow, **missed}})
    with working(api, settings, evals.serve):
        assert completed(client, every).result_counts.passed == 2
        assert completed(client, one).result_counts.total == 1
        assert completed(client, anew).result_counts.total == 1
    (item,) = client.evals.runs.output_items.list(one.id, eval_id=task.id).data
    spoken = [(message.role, message.content) for message in item.sample.input]
    before = [("user", "2 + 2 ="), ("assistant", "4"), ("user", "And again?")]
    assert spoken == [("system", "Answer with a 100% sure number."), *before]
    assert item.datasource_item["id"] == second.id and item.sample.output[0].content == "4"
    assert (item.sample.usage.prompt_tokens, item.sample.usage.total_tokens) == (
        USAGE["prompt_tokens"],
        USAGE["total_tokens"],
    )
    client.responses.delete(first.id)
    late = client.evals.runs.create(task.id, data_source={"type": "responses", "source": found})
    with working(api, settings, evals.serve):
        assert completed(client, late).result_counts.errored == 1
    (lost,) = client.evals.runs.output_items.list(late.id, eval_id=task.id).data
    assert first.id in lost.sample.error.message


async def test_a_jobs_own_evaluation_is_an_eval_with_a_run_of_each_model(client: OpenAI, tenant: Tenant) -> None:
    made = await tenant.job()
    samples = [
        {"prompt": [{"role": "user", "content": "2 + 2 ="}], "expected": "4", "base": "5", "tuned": "4 "},
        {"prompt": [{"role": "user", "content": "2 + 3 ="}], "expected": "5"},  # there was no time for it
    ]
    figures = {who: {"loss": loss, "exact_match": None} for who, loss in (("base", 2.0), ("tuned", 0.5))}
    async with tenant.db.transaction() as session:
        job = await session.get_one(Job, made["id"])
        job.evaluation = {"step": 4, "rows": 200, **figures, "samples": samples}
        await own_eval.add(session, job, "ft:starter:x:y:1")
    (task,) = client.evals.list()
    assert (task.id, task.metadata) == (f"eval_{job.id}", {"fine_tuning_job_id": job.id})
    assert [each.type for each in task.testing_criteria] == ["string_check"]
    runs = {run.model: run for run in client.evals.runs.list(task.id)}
    base, tuned = runs["starter"], runs["ft:starter:x:y:1"]
    assert (base.status, base.result_counts.total, base.result_counts.failed) == ("completed", 1, 1)
    assert tuned.result_counts.passed == 1
    assert tuned.metadata == {"fine_tuning_job_id": job.id, "step": "4", "rows": "200", "loss": "0.5"}
    (item,) = client.evals.runs.output_items.list(tuned.id, eval_id=task.id)
    assert (item.status, item.results[0].score, item.sample.output[0].content) == ("pass", 1.0, "4 ")
    assert client.evals.delete(task.id).deleted


async def test_a_reinforcement_jobs_evaluation_has_the_score_of_each_grader(client: OpenAI, tenant: Tenant) -> None:
    made = await tenant.job()
    scores = {who: {"near": score, "ours": lost} for who, score, lost in (("base", 0.25, None), ("tuned", 0.75, 1.0))}
    sample = {"prompt": [{"role": "user", "content": "?"}], "base": "a", "tuned": "b"}
    sample |= {f"{who}_scores": found for who, found in scores.items()}
    near = {"type": "text_similarity", "evaluation_metric": "bleu", "input": "{{sample.output_text}}", "reference": "b"}
    graders = [{"name": "near", "weight": 1.0, "grader": near}]
    graders.append({"name": "ours", "weight": 0.5, "grader": {"type": "function", "function": "answer_correct"}})
    async with tenant.db.transaction() as session:
        job = await session.get_one(Job, made["id"])
        await reward_versions.add(session, job.id, graders)
        figures = {who: {"reward_mean": 0.5, "rewards": {"near": 0.5}} for who in ("base", "tuned")}
        job.evaluation = {"step": 4, "rows": 1, **figures, "samples": [sample]}
        await own_eval.add(session, job, "ft:starter:x:y:1")
    base, tuned = client.evals.runs.list(f"eval_{job.id}", order="asc")
    assert (base.result_counts.errored, tuned.result_counts.passed) == (1, 1)
    assert [(each.testing_criteria, each.passed) for each in tuned.per_testing_criteria_results] == [
        ("near", 1),
        ("ours", 1),
    ]
    (item,) = client.evals.runs.output_items.list(base.id, eval_id=base.eval_id)
    assert [(each.name, each.score, each.passed) for each in item.results] == [
        ("near", 0.25, False),
        ("ours", 0.0, False),
    ]
