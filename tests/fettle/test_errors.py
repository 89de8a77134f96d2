"""What a user reads when a value does not fit: a parameter, its value and the way out, without Python or regex."""

import re
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core.core_schema import ErrorType

from api.schemas.api_key import KeyCreate, KeyRotate
from api.schemas.dry_run import DryRunCreate
from api.schemas.job import JobCreate
from api.schemas.project import ProjectCreate
from api.schemas.rollout import RewardsEdit
from fettle import methods
from fettle.errors import from_schema
from fettle.inference.requests.response import ResponseCreate
from fettle.jobs import integrations
from fettle.rewards import specs
from fettle.schemas import phrases
from worker.engine.completion_schema import CompletionRequest
from worker.engine.schemas import ChatRequest

JOB = {"model": "starter", "training_file": "file-1"}
SCHEMAS: list[Any] = [
    *(KeyCreate, KeyRotate, DryRunCreate, JobCreate, ProjectCreate, ResponseCreate, RewardsEdit),
    *(spec.request for spec in methods.METHODS.values()),
    *(integrations.WandbRun, integrations.MlflowRun, specs.AnyGrader, ChatRequest, CompletionRequest),
]
FOREIGN = re.compile(
    r"Input should|Value error|String should|valid (string|integer|dictionary|list)|\b(dict|int|str|float|bool|NoneType"
    r"|None|True|False)\b|pattern|\^\[|\{\d+,\d*\}|\\x|constrained-|literal\[|function-"
)


class Example(BaseModel):
    text: Annotated[str, AfterValidator(str.strip)] | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    choice: Literal["auto"] | Annotated[int, Field(ge=1, le=50)] = "auto"
    flag: bool | None = None


def message_of(schema: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(schema).validate_python(value)
    return from_schema(caught.value.errors(), tags=specs.TAGS).message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "Invalid value for 'text': 5. Use a string or a JSON array."),
        (None, "Invalid value for 'text': null. Use a string or a JSON array."),
        ({"a": True}, "Invalid value for 'text': {'a': true}. Use a string or a JSON array."),
        (["a", "b"], "Invalid value for 'text[0]': 'a'. Use a whole number."),
        ([], "Invalid value for 'text': []. Use at least 1 item."),
    ],
)
def test_a_value_of_several_kinds_is_named_as_its_sender_knows_it(value: object, message: str) -> None:
    assert message_of(Example, {"text": value}) == message


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (JobCreate, {**JOB, "suffix": "a b"}, "'suffix': 'a b'. Use 1 to 64 letters, digits, '_', '.' or '-'."),
        (JobCreate, {**JOB, "seed": -1}, "'seed': -1. Use a number of 0 or more."),
        (JobCreate, {**JOB, "seed": True}, "'seed': true. Use a whole number."),
        (JobCreate, {**JOB, "seed": 2**31}, "'seed': 2147483648. Use a number below 2,147,483,648."),
        (JobCreate, {**JOB, "metadata": {"": "v"}}, "'metadata.': ''. Use at least 1 character."),
        (JobCreate, {**JOB, "metadata": dict.fromkeys(map(str, range(17)), "v")}, "Use at most 16 entries."),
        (JobCreate, {**JOB, "hyperparameters": {"n_epochs": 99}}, "99. Use 'auto' or a number of 50 or less."),
        (JobCreate, {**JOB, "hyperparameters": {"eval_interval": "x"}}, "Use 'auto', 'epoch' or a whole number."),
        (JobCreate, {**JOB, "hyperparameters": {"lora": {"rank": 3}}}, "3. Use 1, 8, 16, 32, 64 or 128."),
        (JobCreate, {**JOB, "hyperparameters": {"lora": {"rank": True}}}, "true. Use a number."),
        (JobCreate, {**JOB, "hyperparameters": {"lora": {"use_rslora": 1}}}, "1. Use true or false."),
        (JobCreate, {**JOB, "hyperparameters": {"lora": {"target_modules": ["q p"]}}}, "[0]': 'q p'. Use 1 to 200"),
        (JobCreate, {**JOB, "hyperparameters": {"early_stopping": 3}}, "Use true, false or an object with 'patience'"),
        (JobCreate, {**JOB, "nope": 1}, "Unknown parameter: 'nope'. Check its spelling, or remove it."),
        (JobCreate, {"model": "m"}, "Missing required parameter: 'training_file'."),
        (RewardsEdit, {}, "Give one of 'grader', 'graders' and 'reward_functions'."),
        (RewardsEdit, {"graders": 3}, "'graders': 3. Use a JSON object or a JSON array."),
        (ResponseCreate, {"model": "m", "input": []}, "'input': []. Use at least 1 item."),
        (ResponseCreate, {"model": "m", "input": "x", "truncation": "auto"}, "'auto'. Use 'disabled'."),
        (KeyCreate, {"name": "a\nb"}, "Use 1 to 256 characters without control characters."),
        (ProjectCreate, {"name": "n", "quotas": {"files": -1}}, "Use a whole number, null for no limit, or 'default'."),
        (specs.AnyGrader, {"type": "python", "name": "", "source": ""}, "'name': ''. Use at least 1 character."),
        (specs.AnyGrader, {"name": "x"}, "Missing required parameter: 'type'."),
    ],
)
def test_a_value_that_does_not_fit_is_explained_in_plain_words(schema: Any, value: Any, message: str) -> None:
    found = message_of(schema, value)
    assert message in found and not FOREIGN.search(found.partition(". ")[2])


CONTEXTS: dict[str, Any] = {
    "gt": 0,
    "ge": 1,
    "lt": 2,
    "le": 3,
    "multiple_of": 2,
    "min_length": 1,
    "max_length": 2,
    "expected": "'a' or 'b'",
    "pattern": "^x$",
    "expected_tags": "'a', 'b'",
    "tag": "c",
    "discriminator": "'type'",
    "field_type": "List",
    "error": "Expecting value",
    "class_name": "Model",
    "class": "int",
    "actual_length": 3,
}


@pytest.mark.parametrize("kind", sorted(get_args(ErrorType)))
def test_every_error_of_pydantic_becomes_a_plain_sentence(kind: str) -> None:
    problem = {"type": kind, "loc": ("body", "field"), "msg": "Input should be a valid dict", "input": {}}
    if kind in ("value_error", "assertion_error"):  # our own validators' words
        problem["msg"] = "Value error, use another one"
    found = from_schema([{**problem, "ctx": CONTEXTS}]).message
    assert found.endswith(".") and not FOREIGN.search(found), found


def patterns(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(patterns, schema), set())
    if not isinstance(schema, dict):
        return set()
    own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
    return own.union(*map(patterns, schema.values()))


def test_every_regular_expression_of_a_schema_has_its_words() -> None:
    used = set().union(*(patterns(TypeAdapter(schema).json_schema()) for schema in SCHEMAS))
    assert len(used) >= 4 and used <= phrases.PATTERNS.keys()
