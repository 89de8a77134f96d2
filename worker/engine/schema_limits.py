"""Limits that a schema leaves open, set before it becomes a grammar: what is then written fits the schema all the same.

A model that was never taught where a number or an object ends would go on until its tokens run out. So an integer is
one that every JSON reader keeps exactly (RFC 8259, section 6), and an object has the properties that its schema names.
"""

from collections.abc import Iterator, Mapping
from typing import Any

LARGEST = 2**53 - 1
DEPTH_AT_MOST = 64
OF_ONE = {"items", "additionalProperties", "contains"}  # keywords that hold a schema
OF_SEVERAL = {"anyOf", "oneOf", "prefixItems"}  # not allOf: its parts limit each other
BY_NAME = {"properties", "patternProperties", "$defs", "definitions"}
EXACT = {"enum", "const"}
COMBINING = {"$ref", "anyOf", "oneOf", "if", "dependentSchemas"}
NAMING_MORE = {"additionalProperties", "unevaluatedProperties", "patternProperties"}


def limited(schema: Mapping[str, Any]) -> dict[str, Any]:
    closes = not any(combines(part) for part in parts(schema))
    return dict(limit(schema, closes, 0))


def limit(schema: Any, closes: bool, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > DEPTH_AT_MOST:
        return schema
    made: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in OF_ONE:
            made[keyword] = limit(value, closes, depth + 1)
        elif keyword in OF_SEVERAL and isinstance(value, list):
            made[keyword] = [limit(each, closes, depth + 1) for each in value]
        elif keyword in BY_NAME and isinstance(value, Mapping):
            made[keyword] = {name: limit(each, closes, depth + 1) for name, each in value.items()}
        else:
            made[keyword] = value
    if made.keys().isdisjoint(EXACT):
        made |= integer_bounds(made)
        if closes and names_all(made):
            made["additionalProperties"] = False
    return made


def integer_bounds(schema: Mapping[str, Any]) -> dict[str, int]:
    """Where the schema has a bound of its own beyond the range, it has the last word."""
    types = schema.get("type")
    kinds = types if isinstance(types, list) else [types]
    least, most = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
    given = [schema[name] for name in (*least, *most) if isinstance(schema.get(name), int | float)]
    if "integer" not in kinds or "number" in kinds or any(abs(value) > LARGEST for value in given):
        return {}
    bounds = {} if any(name in schema for name in least) else {"minimum": -LARGEST}
    return bounds if any(name in schema for name in most) else bounds | {"maximum": LARGEST}


def names_all(schema: Mapping[str, Any]) -> bool:
    """Whether an object's schema names properties, all that it requires among them, and does not speak of others."""
    named, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(named, Mapping) or not named or not isinstance(required, list):
        return False
    return schema.keys().isdisjoint(NAMING_MORE) and all(name in named for name in required)


def combines(schema: Mapping[str, Any]) -> bool:
    """Whether another schema adds to the properties of this one, so that neither knows them all."""
    return "allOf" in schema or ("properties" in schema and not schema.keys().isdisjoint(COMBINING))


def parts(schema: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The schema and all within it."""
    if not isinstance(schema, Mapping) or depth > DEPTH_AT_MOST:
        return
    yield schema
    for keyword, value in schema.items():
        if keyword in OF_ONE:
            yield from parts(value, depth + 1)
        elif keyword in OF_SEVERAL and isinstance(value, list):
            for each in value:
                yield from parts(each, depth + 1)
        elif keyword in BY_NAME and isinstance(value, Mapping):
            for each in value.values():
                yield from parts(each, depth + 1)
