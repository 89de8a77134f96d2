"""Row shapes: how each is recognised, checked and turned into chat messages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fettle.formats import chat, prompt_completion
from fettle.formats.problems import Finding

Message = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """keys: a row that has one of them has this shape, unless an earlier shape claims it."""

    keys: frozenset[str]
    check: Callable[[dict[str, Any]], Iterator[Finding]]
    to_messages: Callable[[dict[str, Any]], list[Message]]


SHAPES: dict[str, Shape] = {
    "chat": Shape(chat.KEYS, chat.check, chat.to_messages),
    "prompt_completion": Shape(prompt_completion.KEYS, prompt_completion.check, prompt_completion.to_messages),
}


def shape_of(row: dict[str, Any]) -> str | None:
    """The name of a row's shape; None if it has none of them."""
    for name, shape in SHAPES.items():
        if not shape.keys.isdisjoint(row):
            return name
    return None


def to_messages(row: dict[str, Any]) -> list[Message]:
    """A row that passed validation as chat messages, which may hold a `weight`. Raises ValueError without a shape."""
    name = shape_of(row)
    if name is None:
        raise ValueError(f"no row shape has any of the keys {sorted(row)}; known shapes: {', '.join(SHAPES)}")
    return SHAPES[name].to_messages(row)


def read_messages(path: Path) -> Iterator[list[Message]]:
    """The conversations of a file that passed validation, one at a time."""
    with path.open("rb") as file:
        for line in file:
            if not line.isspace():  # a validated file may end with blank lines
                yield to_messages(orjson.loads(line))
