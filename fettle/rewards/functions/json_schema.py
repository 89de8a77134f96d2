"""Is the completion JSON of the wanted shape?"""

import re
from collections.abc import Iterator
from typing import Any

import orjson
from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.validators import extend
from pydantic import Field, field_validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from fettle.rewards.functions.function import EachSample, Example, Parameters, Resources, RewardFunction, Ungradable
from fettle.rewards.functions.patterns import SECONDS, BadPattern, compiled
from fettle.rewards.functions.tags import answer_of
from fettle.rewards.samples import Sample

PARTS_AT_MOST = 5_000  # objects of a schema: each takes most of a millisecond to check
DEPTH_AT_MOST = 64
FENCE = re.compile(r"```(?:json)?(.*?)```", re.DOTALL)


class JsonSchema(Parameters):
    """json_schema: JSON Schema 2020-12; without one any JSON will do. `patternProperties` and other documents'
    definitions are left out. bare: JSON in a code fence does not count."""

    json_schema: dict[str, Any] = Field(default_factory=dict)
    bare: bool = False

    @field_validator("json_schema")
    @classmethod
    def can_be_used(cls, schema: dict[str, Any]) -> dict[str, Any]:
        if (parts := look_over(schema)) > PARTS_AT_MOST:
            raise ValueError(f"the schema has {parts:,} objects; at most {PARTS_AT_MOST:,} are allowed")
        try:
            Draft202012Validator.check_schema(schema, format_checker=None)  # its patterns were compiled here already
        except SchemaError as error:
            raise ValueError(f"it is not a valid JSON Schema: {error.message[:200]}") from error
        except (RecursionError, OverflowError) as error:
            raise ValueError(f"it is not a JSON Schema that can be checked ({type(error).__name__})") from error
        return schema


def look_over(schema: Any) -> int:
    """How many objects it has. Raises ValueError for what could not be stored, shown again or applied."""
    parts, waiting = 0, [(schema, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEPTH_AT_MOST:
            raise ValueError(f"the schema is nested more than {DEPTH_AT_MOST} deep")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"the number {str(value)[:30]} has more than 64 bits")
        if isinstance(value, dict):
            parts += 1
            if "patternProperties" in value:
                raise ValueError("'patternProperties' cannot be used here: name the properties")
            if isinstance(wanted := value.get("pattern"), str):
                try:
                    compiled(wanted)
                except BadPattern as error:
                    raise ValueError(f"{wanted[:100]!r} is not a valid pattern: {error}") from error
            waiting += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            waiting += [(each, depth + 1) for each in value]
    return parts


def pattern(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """As JSON Schema's own, with an end. Raises TimeoutError."""
    if isinstance(instance, str) and compiled(wanted).search(instance, timeout=SECONDS) is None:
        yield ValidationError("the pattern does not match")


Validator = extend(Draft202012Validator, {"pattern": pattern})


def open_json_schema(parameters: JsonSchema, _: Resources) -> EachSample:
    validator = Validator(parameters.json_schema, registry=Registry())  # an empty registry fetches nothing

    def value(sample: Sample) -> float:
        text = answer_of(sample.completion)
        fenced = None if parameters.bare else FENCE.search(text)
        try:
            return float(validator.is_valid(orjson.loads(fenced[1].strip() if fenced else text)))
        except orjson.JSONDecodeError:
            return 0.0
        except (Unresolvable, TimeoutError, BadPattern) as error:
            raise Ungradable(f"the schema cannot be applied ({type(error).__name__})") from error

    return EachSample(value)


SCHEMA = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
JSON_SCHEMA = RewardFunction(
    description="1 when the answer is JSON that fits the schema, else 0.",
    parameters=JsonSchema,
    examples=(
        Example('{"city": "Paris"}', 1.0, {}, {"json_schema": SCHEMA}),
        Example('{"city": 5}', 0.0, {}, {"json_schema": SCHEMA}),
        Example("Paris", 0.0, {}, {}),
    ),
    open=open_json_schema,
)
