"""What a schema leaves open is limited, and what is written fits it all the same."""

import json
from typing import Any

import pytest

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from worker.engine import grammar
from worker.engine.schema_limits import LARGEST, limited
from worker.engine.vocabulary import Vocabulary

RANGE = {"minimum": -LARGEST, "maximum": LARGEST}
INTEGER = {"type": "integer"}
CLOSED = {"additionalProperties": False}
OPEN = {"additionalProperties": True}


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        (INTEGER, INTEGER | RANGE),
        ({"type": ["integer", "null"]}, {"type": ["integer", "null"]} | RANGE),
        (INTEGER | {"minimum": 0}, INTEGER | {"minimum": 0, "maximum": LARGEST}),
        (INTEGER | {"exclusiveMaximum": 9}, INTEGER | {"exclusiveMaximum": 9, "minimum": -LARGEST}),
        (INTEGER | {"minimum": 2**60}, INTEGER | {"minimum": 2**60}),
        (INTEGER | {"enum": [2**60]}, INTEGER | {"enum": [2**60]}),
        ({"type": ["integer", "number"]}, {"type": ["integer", "number"]}),
        ({"items": INTEGER}, {"items": INTEGER | RANGE}),
        ({"anyOf": [INTEGER, {"type": "null"}]}, {"anyOf": [INTEGER | RANGE, {"type": "null"}]}),
        ({"properties": {"type": INTEGER}}, {"properties": {"type": INTEGER | RANGE}} | CLOSED),
        ({"properties": {"a": {}}, **OPEN}, {"properties": {"a": {}}, **OPEN}),
        ({"properties": {"a": {}}, "required": ["b"]}, {"properties": {"a": {}}, "required": ["b"]}),
        ({"type": "object"}, {"type": "object"}),
        ({"allOf": [{"properties": {"a": {}}}, INTEGER]}, {"allOf": [{"properties": {"a": {}}}, INTEGER]}),
        (
            {"$defs": {"a": {"properties": {"x": {}}}}, "properties": {"y": {}}, "$ref": "#/$defs/a"},
            {"$defs": {"a": {"properties": {"x": {}}}}, "properties": {"y": {}}, "$ref": "#/$defs/a"},
        ),
    ],
)  # fmt: skip
def test_only_what_is_left_open_is_limited(schema: dict[str, Any], made: dict[str, Any]) -> None:
    assert limited(schema) == made


def test_an_object_ends_after_the_properties_that_it_names() -> None:
    renderer = Renderer(STARTER)
    schema = {"type": "object", "properties": {"n": INTEGER}, "required": ["n"]}
    rows = grammar.compiled(schema, Vocabulary(renderer, frozenset({2}))).matcher()
    for token in renderer.tokenizer.encode(json.dumps({"n": -LARGEST})[:-1]).ids:
        rows.take(token)
    allowed = [index for index, byte in enumerate(rows.mask()) if byte]
    texts = {renderer.tokenizer.decode([token], skip_special_tokens=False).strip() for token in allowed}
    assert texts - {""} == {"}"}


def test_deep_schemas_are_limited_to_a_depth() -> None:
    schema: dict[str, Any] = INTEGER
    for _ in range(500):
        schema = {"items": schema}
    assert limited(schema) == schema
