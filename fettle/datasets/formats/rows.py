"""Row shapes: how each is recognised, checked and turned into chat messages."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fettle.datasets.formats import alpaca, chat, preference, prompt_completion, prompts, ranking, sharegpt
from fettle.datasets.formats.chat import Conversation
from fettle.datasets.formats.preference import Pair
from fettle.datasets.formats.problems import RowProblem


@dataclass(frozen=True)
class Shape:
    """keys: a row that has one of them has this shape, unless an earlier shape claims it.

    plain: a quick look that says of nearly every good row that `check` would find nothing. claims: of rows with such a
    key, which have this shape. to_pairs: for a shape that compares responses.
    """

    keys: frozenset[str]
    plain: Callable[[dict[str, Any]], bool]
    check: Callable[[dict[str, Any]], Iterator[RowProblem]]
    to_conversation: Callable[[dict[str, Any]], Conversation]
    to_pairs: Callable[[dict[str, Any]], list[Pair]] | None = None
    claims: Callable[[dict[str, Any]], bool] = lambda row: True


SHAPES: dict[str, Shape] = {
    "prompts": Shape(prompts.KEYS, prompts.plain, prompts.check, prompts.to_conversation, claims=prompts.claims),
    "chat": Shape(chat.KEYS, chat.plain, chat.check, chat.to_conversation),
    "sharegpt": Shape(sharegpt.KEYS, sharegpt.plain, sharegpt.check, sharegpt.to_conversation),
    "preference": Shape(
        preference.KEYS, preference.plain, preference.check, preference.to_conversation, preference.to_pairs
    ),
    "ranking": Shape(ranking.KEYS, ranking.plain, ranking.check, ranking.to_conversation, ranking.to_pairs),
    "prompt_completion": Shape(
        prompt_completion.KEYS, prompt_completion.plain, prompt_completion.check, prompt_completion.to_conversation
    ),
    "alpaca": Shape(alpaca.KEYS, alpaca.plain, alpaca.check, alpaca.to_conversation),
}
# Shapes with answers: the keys of what comes before the answer
COMPLETED_BY: dict[str, frozenset[str]] = {
    "chat": chat.KEYS,
    "prompt_completion": frozenset({"prompt", "Prompt"}),
    "preference": frozenset({"prompt", "input"}),
    "ranking": frozenset({"prompt"}),
}
SHAPE_KEYS = frozenset().union(*(shape.keys for shape in SHAPES.values()))
# All that training reads of a row: of a table, only these columns are looked at
COLUMNS = SHAPE_KEYS | {"tools", "parallel_tool_calls", "functions", "input", "system", "history"}


def columns_read(names: Iterable[str]) -> frozenset[str]:
    """Of a table with these columns. A table of prompts without completions is read whole: the rest is for graders."""
    value = frozenset(names)
    prompts_only = not value.isdisjoint({"prompt", "Prompt"}) and value.isdisjoint(prompts.OTHER_SHAPES)
    return value if prompts_only else value & COLUMNS


NESTED = frozenset(
    {"messages", "conversations", "tools", *ranking.KEYS, *preference.OPENAI}
)  # columns that hold no text, but in CSV and often elsewhere JSON


def shape_of(row: dict[str, Any]) -> str | None:
    """The name of a row's shape; None if it has none of them. A key with null counts where no other tells."""
    if None in row.values():
        filled = {key: value for key, value in row.items() if value is not None}
        found = shape_of(filled)
        if found not in (None, "prompts"):
            return found
    for name, shape in SHAPES.items():
        if not shape.keys.isdisjoint(row) and shape.claims(row):
            return name
    return None


def answers_missing(row: dict[str, Any], shape: str) -> bool:
    """Whether a row without an answer looks like the others of a file of this shape, but for the answer."""
    return not COMPLETED_BY.get(shape, frozenset()).isdisjoint(row)


def to_conversation(row: dict[str, Any]) -> Conversation:
    """A row that passed validation as chat messages. Raises ValueError without a shape."""
    name = shape_of(row)
    if name is None:
        raise ValueError(f"no row shape has any of the keys {sorted(row)}; known shapes: {', '.join(SHAPES)}")
    return SHAPES[name].to_conversation(row)


def to_pairs(row: dict[str, Any]) -> list[Pair]:
    """The comparisons of a row that passed validation, one or more. Raises ValueError for a shape without any."""
    name = shape_of(row)
    to_pairs = SHAPES[name].to_pairs if name else None
    if to_pairs is None:
        raise ValueError(f"a row of the shape {name!r} compares no responses")
    return to_pairs(row)
