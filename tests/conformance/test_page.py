"""docs/openai-compatibility.md says what is: its tables are fresh, and what it calls refused is refused."""

import re
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from fettle.errors import InvalidRequest
from tests.api.tenants import Tenant, refusal
from tests.conformance import page
from tests.conformance.objects import OBJECTS, compared, required
from tests.conformance.page import served
from tests.conformance.remarks import REMARKS
from tests.conformance.surface import CHAT, COMPLETIONS, RESPONSES, inside, listed, routes, same_path, sdk_routes
from worker.engine.completion_schema import CompletionRequest
from worker.engine.schemas import ChatRequest

WRONG: Any = [7]  # neither a text nor a number nor an object
PAIRS = {theirs.route: (theirs, ours) for theirs, ours in served()}


def refused(route: str) -> list[str]:
    theirs, ours = PAIRS[route]
    return [name for name, status in listed(ours, theirs) if status == "refused"]


def test_the_page_is_fresh() -> None:
    assert page.PAGE.read_text() == page.page(), "run: python -m tests.conformance.page"


def test_the_sdk_is_read_whole() -> None:
    known = {route.name: route for route in sdk_routes()}
    assert len(known) > 300
    assert known["files.create"].parameters == ("file", "purpose", "expires_after")
    assert known["fine_tuning.checkpoints.permissions.create"].route.startswith("POST ")
    nested = known["fine_tuning.jobs.create"].parameters
    assert {"integrations.wandb.project", "method.dpo.hyperparameters.beta", "hyperparameters.n_epochs"} <= set(nested)


@pytest.mark.parametrize("route", PAIRS)
def test_every_parameter_that_the_sdk_can_send_is_on_the_page(route: str) -> None:
    theirs, ours = PAIRS[route]
    shown = {name for name, _ in listed(ours, theirs)}
    assert [n for n in theirs.parameters if not any(n == name or n.startswith(f"{name}.") for name in shown)] == []


def test_a_parameter_that_the_sdk_learns_is_refused_on_the_page_until_we_take_it() -> None:
    theirs, ours = PAIRS["GET /v1/files"]
    newer = replace(theirs, parameters=(*theirs.parameters, "colour"))
    assert ("colour", "refused") in listed(ours, newer)
    taken = replace(ours, parameters=ours.parameters | {"colour"})
    assert ("colour", "same") in listed(taken, newer)
    assert ("colour", "extended") in listed(taken, theirs)


def test_every_remark_is_about_a_line_of_the_page() -> None:
    lines = {(route, name) for route, (theirs, ours) in PAIRS.items() for name, _ in listed(ours, theirs)}
    assert REMARKS.keys() - lines == set()


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_has_every_field_that_the_sdk_requires(name: str) -> None:
    absent = {field for field, status in compared(name) if status == "absent"}
    assert absent & required(OBJECTS[name][0]) == set()


NOT_WALKED = {  # fields of ours that are objects, and where the page has their parts
    ("upload", "file"): "file",
    ("batch", "errors"): "of the input file: code, line, message, param",
    ("batch", "request_counts"): "as the SDK types it",
    ("batch", "usage"): "as the SDK types it",
    ("eval", "data_source_config"): "POST /v1/evals",
    ("eval", "testing_criteria"): "POST /v1/evals",
    ("eval.run", "data_source"): "POST /v1/evals/{eval_id}/runs",
    ("eval.run", "error"): "code, message",
    ("eval.run", "per_model_usage"): "as the SDK types it",
    ("eval.run", "per_testing_criteria_results"): "as the SDK types it",
    ("eval.run", "result_counts"): "as the SDK types it",
    ("eval.run.output_item", "results"): "as the SDK types it, and `error`",
    ("eval.run.output_item", "sample"): "as the SDK types it",
    ("fine_tuning.job", "integrations"): "POST /v1/fine_tuning/jobs",
    ("fine_tuning.job", "method"): "POST /v1/fine_tuning/jobs",
    ("fine_tuning.job.event", "data"): "whatever a step measures",
    ("graders/validate", "grader"): "what was sent",
}
ELSEWHERE = ("chat", "text_completion", "response")  # tests/conformance/test_real_engine.py walks these


@pytest.mark.parametrize("name", [name for name in OBJECTS if "," not in name and not name.startswith(ELSEWHERE)])
def test_the_page_goes_into_every_object_within_an_object(name: str) -> None:
    theirs, ours = OBJECTS[name]
    nested = {
        field
        for field, found in theirs.model_fields.items()
        if field in ours
        and any(isinstance(inner, type) and issubclass(inner, BaseModel) for inner in inside(found.annotation))
    }
    assert [field for field in nested if f"{name}, {field}" not in OBJECTS and (name, field) not in NOT_WALKED] == []


def test_a_checkpoint_has_every_metric_that_the_sdk_reads() -> None:
    assert [field for field, status in compared("fine_tuning.job.checkpoint, metrics") if status == "absent"] == []


@pytest.mark.parametrize("name", refused(RESPONSES))
async def test_a_response_refuses_it_by_name(tenant: Tenant, name: str) -> None:
    answer = await tenant.http.post("/v1/responses", json={"model": "starter", "input": "x", name: WRONG})
    assert refusal(answer) == (400, "unknown_parameter", name)


@pytest.mark.parametrize("name", refused(CHAT))
def test_a_chat_refuses_it_by_name(name: str) -> None:
    """The engine's word; the API passes its refusals on."""
    with pytest.raises((ValidationError, InvalidRequest)) as caught:
        ChatRequest.model_validate({"model": "starter", "messages": [{"role": "user", "content": "x"}], name: WRONG})
    if isinstance(caught.value, InvalidRequest):
        assert caught.value.param == name
        return
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("extra_forbidden", (name,))]


@pytest.mark.parametrize("name", refused(COMPLETIONS))
def test_a_completion_refuses_it_by_name(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CompletionRequest.model_validate({"model": "starter", "prompt": "x", name: WRONG})
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("extra_forbidden", (name,))]


async def test_every_route_that_is_not_here_is_said_to_be_unknown(tenant: Tenant) -> None:
    missing = [route.route for route in sdk_routes() if same_path(route.route) not in routes()]
    assert len(missing) > 300
    for route in missing:
        verb, path = re.sub(r"{\w+}", "x", route).split(" ")
        status, code, param = refusal(await tenant.http.request(verb, path))
        assert (status, code, param) in [(404, "unknown_url", None), (405, "method_not_allowed", None)], route


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/responses/resp_x/cancel", "Nothing runs in the background"),
        ("/v1/embeddings", "/docs"),
    ],
)
async def test_what_people_try_is_told_the_way(tenant: Tenant, path: str, words: str) -> None:
    answer = await tenant.http.post(path)
    assert refusal(answer) == (404, "unknown_url", None)
    assert words in answer.json()["error"]["message"]
