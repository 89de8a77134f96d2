"""Evals by HTTP; tests/worker/background/test_evals.py runs them."""

from typing import Any

import pytest

from tests.api.tenants import Tenant, refusal

CHECK = {"type": "string_check", "name": "has", "operation": "eq", "input": "{{sample.output_text}}", "reference": "4"}
SIMILAR = {**CHECK, "type": "text_similarity", "name": "near", "evaluation_metric": "fuzzy_match"}
SIMILAR.pop("operation")
TEMPLATE = {"type": "template", "template": [{"role": "user", "content": "{{item.a}}?"}]}
SOURCE = {"type": "file_content", "content": [{"item": {"a": "4"}}]}


async def test_an_eval_is_made_changed_listed_and_deleted_with_its_runs(tenant: Tenant) -> None:
    made = await tenant.eval(metadata={"team": "blue"}, testing_criteria=[CHECK, SIMILAR])
    assert made["testing_criteria"][1]["pass_threshold"] == 0.5
    assert made["data_source_config"]["schema"]["properties"]["item"]["required"] == ["a"]
    path = f"/v1/evals/{made['id']}"
    changed = (await tenant.http.post(path, json={"name": "new"})).json()
    assert (changed["name"], changed["metadata"]) == ("new", {"team": "blue"})
    body = {"data_source": {"type": "completions", "model": "starter", "source": SOURCE, "input_messages": TEMPLATE}}
    run = (await tenant.http.post(f"{path}/runs", json=body)).json()
    assert (run["status"], run["model"], run["result_counts"]["total"]) == ("queued", "starter", 1)
    assert run["data_source"]["source"] == SOURCE
    assert [each["id"] for each in (await tenant.http.get(f"{path}/runs?status=queued")).json()["data"]] == [run["id"]]
    assert refusal(await tenant.http.delete(path)) == (409, "eval_run_active", None)
    cancelled = (await tenant.http.post(f"{path}/runs/{run['id']}")).json()
    assert cancelled["status"] == "canceled"
    assert refusal(await tenant.http.post(f"{path}/runs/{run['id']}"))[:2] == (409, "eval_run_not_active")
    assert (await tenant.http.delete(path)).json()["deleted"] is True
    assert (await tenant.http.get("/v1/evals")).json()["data"] == []


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"testing_criteria": [{**CHECK, "input": "{{item.a"}]}, "testing_criteria[0].input"),
        ({"testing_criteria": [{**SIMILAR, "pass_threshold": "high"}]}, "testing_criteria[0].pass_threshold"),
        ({"testing_criteria": ["exact"]}, "testing_criteria[0]"),
        ({"testing_criteria": []}, "testing_criteria"),
        (
            {"data_source_config": {"type": "custom", "item_schema": {"type": "cup"}}},
            "data_source_config.item_schema",
        ),
        ({"data_source_config": {"type": "tables"}}, "data_source_config"),
        ({"data_source_config": {"type": "logs", "item_schema": {}}}, "data_source_config.item_schema"),
    ],
)
async def test_an_eval_that_could_not_run_is_refused(tenant: Tenant, changed: dict[str, Any], param: str) -> None:
    body = {"data_source_config": {"type": "custom", "item_schema": {}}, "testing_criteria": [CHECK], **changed}
    status, _, named = refusal(await tenant.http.post("/v1/evals", json=body))
    assert (status, named) == (400, param)


@pytest.mark.parametrize(
    ("changed", "status", "param"),
    [
        ({"model": "gpt-5"}, 404, "model"),
        (
            {"input_messages": {"type": "template", "template": [{"role": "user", "content": "{{nothing}}"}]}},
            400,
            "data_source.input_messages.template[0].content",
        ),
        ({"source": {"type": "file_id", "id": "file-x"}}, 400, "data_source.source.id"),
        ({"source": {"type": "stored_completions"}}, 400, "data_source.source"),
        ({"source": {"type": "stored_completions", "limit": 0}}, 400, "data_source.source.limit"),
        ({"source": {"type": "stored_completions"}, "type": "responses"}, 400, "data_source.type"),
        ({"source": {"type": "responses"}}, 400, "data_source.type"),
        ({"source": {"type": "responses"}, "type": "responses"}, 400, "data_source.source"),
        ({"source": {"type": "responses", "users": ["a"]}, "type": "responses"}, 400, "data_source.source.users"),
        ({"model": None}, 400, "data_source.model"),
        ({"input_messages": None}, 400, "data_source.input_messages"),
        ({"sampling_params": {"temperature": 3}}, 400, "data_source.sampling_params.temperature"),
    ],
)
async def test_a_run_that_could_not_begin_is_refused(
    tenant: Tenant, changed: dict[str, Any], status: int, param: str
) -> None:
    made = await tenant.eval()
    source = {"type": "completions", "model": "starter", "source": SOURCE, "input_messages": TEMPLATE, **changed}
    found = refusal(await tenant.http.post(f"/v1/evals/{made['id']}/runs", json={"data_source": source}))
    assert (found[0], found[2]) == (status, param)


async def test_a_key_that_may_not_chat_may_not_have_a_model_asked(tenant: Tenant) -> None:
    made = await tenant.eval()
    key = await tenant.key("evals.read", "evals.write")
    source = {"type": "completions", "model": "starter", "source": SOURCE, "input_messages": TEMPLATE}
    answer = await key.post(f"/v1/evals/{made['id']}/runs", json={"data_source": source})
    assert refusal(answer)[:2] == (403, "insufficient_scope")
