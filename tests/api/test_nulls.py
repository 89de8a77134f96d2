"""null in a request: the parameter was left out. One base class sees to it, so that no schema can forget it."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from api.app import create_app
from fettle.jobs.integrations import KINDS
from fettle.methods import METHODS
from fettle.rewards import specs
from fettle.rewards.functions import FUNCTIONS
from fettle.schemas.strict import Strict
from fettle.settings import Settings
from worker.engine.completion_schema import CompletionRequest
from worker.engine.schemas import ChatRequest


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and not get_args(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def api_routes(routes: list[Any]) -> Iterator[APIRoute]:
    for route in routes:
        if hasattr(route, "original_router"):  # FastAPI's wrapper of an included router
            yield from api_routes(route.original_router.routes)
        elif isinstance(route, APIRoute):
            yield route


def bodies() -> Iterator[Any]:
    """What routes take as JSON, and what is checked later: the settings of methods, graders and integrations."""
    for route in api_routes(create_app(Settings()).routes):
        yield from (each.field_info.annotation for each in route.dependant.body_params)
    yield from (method.request for method in METHODS.values())
    yield from (each.parameters for each in FUNCTIONS.values())
    yield from (specs.Single, specs.Multi, *(each._type for each in KINDS.values()))
    yield from (ChatRequest, CompletionRequest)


def reachable() -> list[type[BaseModel]]:
    waiting = [model for body in bodies() for model in models_in(body)]
    found: dict[type[BaseModel], None] = {}
    while waiting:
        model = waiting.pop()
        if model not in found:
            found[model] = None
            waiting += [each for field in model.model_fields.values() for each in models_in(field.annotation)]
    return sorted(found, key=lambda model: (model.__module__, model.__qualname__))


MODELS = reachable()


def test_every_schema_of_a_request_is_strict_and_takes_null_for_left_out() -> None:
    assert [model for model in MODELS if not issubclass(model, Strict)] == []
    assert len(MODELS) > 90


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.__module__}.{model.__qualname__}")
def test_null_is_taken_for_every_field_that_may_be_left_out(model: type[BaseModel]) -> None:
    optional = {field.alias or name for name, field in model.model_fields.items() if not field.is_required()}
    try:
        model.model_validate(dict.fromkeys(optional))
    except ValidationError as error:
        assert optional.isdisjoint(problem["loc"][0] for problem in error.errors() if problem["loc"]), error


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "exact_match", "weight": None, "label": None, "parameters": None, "source": None, "type": None},
        {"name": "exact_match", "parameters": {"reference": None, "ignore_case": None}},
    ],
)
def test_nulls_of_a_reward_function_are_its_defaults(entry: dict[str, Any]) -> None:
    assert specs.check(reward_functions=[entry]) == specs.check(reward_functions=["exact_match"])


def test_nulls_of_a_multi_graders_parts_are_left_out() -> None:
    part = {"type": "string_check", "input": "a", "reference": "b", "operation": "eq"}
    whole = {"type": "multi", "calculate_output": "x"}
    given = specs.check(grader={**whole, "name": None, "graders": {"x": {**part, "name": None}}})
    assert given == specs.check(grader={**whole, "graders": {"x": part}})
