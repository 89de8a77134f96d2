"""What is accepted can be shown again: no schema, number or pattern makes a job that nobody can read."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fettle.errors import FettleError
from fettle.isolation.work import check_graders
from fettle.rewards.functions import FUNCTIONS
from tests.api.tenants import Tenant


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"allOf": [schema]}
    return schema


ODD = {
    "deep": nested(120),
    "huge bound": {"maximum": 10**30},
    "huge count": {"maxLength": 10**400},
    "repetition": {"pattern": "a{99999999999999999999}"},
    "repeated groups": {"pattern": "(a{1000}){1000}{1000}"},
    "open group": {"pattern": "("},
    "properties": {"properties": {f"p{n}": {"type": "string"} for n in range(300)}},
    "itself": {"$ref": "#"},
    "somewhere else": {"$ref": "http://127.0.0.1:1/x"},
    "float": {"multipleOf": 1e-300},
}


@pytest.mark.parametrize("schema", ODD.values(), ids=ODD)
async def test_an_odd_schema_is_refused_or_shown_again(tenant: Tenant, schema: dict[str, Any]) -> None:
    grader = {"type": "function", "name": "x", "function": "json_schema", "parameters": {"json_schema": schema}}
    checked = await tenant.http.post("/v1/fine_tuning/alpha/graders/validate", json={"grader": grader})
    assert checked.status_code in (200, 400), checked.text
    method = {"type": "reinforcement", "reinforcement": {"grader": grader}}
    made = await tenant.create(method=method)
    assert made.status_code == checked.status_code, made.text
    if made.status_code == 200:
        shown = await tenant.http.get(f"/v1/fine_tuning/jobs/{made.json()['id']}")
        assert shown.json()["method"]["reinforcement"]["grader"]["parameters"]["json_schema"] == schema
    assert (await tenant.http.get("/v1/fine_tuning/jobs")).status_code == 200


async def test_numbers_of_more_than_64_bits_are_refused(tenant: Tenant) -> None:
    for hyperparameters in ({"eval_interval": 10**30}, {"checkpoint_interval": 2**64}, {"n_epochs": 10**400}):
        method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
        assert (await tenant.create(method=method)).status_code == 400
    assert (await tenant.http.get("/v1/fine_tuning/jobs")).status_code == 200


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé{(*+", max_size=8)
)
WORDS = st.sampled_from(
    [
        "type",
        "allOf",
        "properties",
        "items",
        "pattern",
        "maximum",
        "maxLength",
        "$ref",
        "enum",
        "const",
        "required",
        "x",
    ]
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(WORDS, VALUES, max_size=5))
def test_whatever_schema_is_accepted_is_read_back_the_same(schema: dict[str, Any]) -> None:
    import orjson

    grader = {"type": "function", "name": "x", "function": "json_schema", "parameters": {"json_schema": schema}}
    try:
        stored = orjson.loads(check_graders({"judges": {"grader": grader}, "within": [], "sources": True}, b""))
    except FettleError:
        return
    parameters = stored[0]["grader"]["parameters"]
    assert parameters["json_schema"] == schema
    try:
        FUNCTIONS["json_schema"].parameters.model_validate(parameters)
    except ValidationError as error:
        raise AssertionError("what was accepted once is refused by the worker") from error
