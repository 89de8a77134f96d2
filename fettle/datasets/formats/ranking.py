"""Rows with several responses to one prompt and their order, best first; ties are nested lists.

`{"prompt", "responses": […], "ranking": [2, [3, 0], 1]}` orders responses by number, counted from 0;
`{"prompt", "ranked": […]}` has the responses themselves in order. A response is a text, or one assistant's message in a
list. Such a row stands for all of its ordered pairs.
"""

from collections.abc import Iterator
from typing import Any

from fettle.datasets.formats import aliases, tools
from fettle.datasets.formats.chat import Conversation
from fettle.datasets.formats.preference import Pair, all_pairs, check_prompt, check_response, text_of
from fettle.datasets.formats.problems import RowProblem, kind, plural, quoted
from fettle.datasets.formats.texts import filled

KEYS = frozenset({"ranking", "ranked", "responses"})

Level = list[Any]  # responses that are as good as each other


def levels(row: dict[str, Any]) -> list[Level]:
    """The responses of a row that passed `check`, best first."""
    if row.get("ranked") is not None:
        return [tied if (tied := ties(entry)) is not None else [entry] for entry in row["ranked"]]
    responses = row["responses"]
    return [
        [responses[number] for number in (entry if isinstance(entry, list) else [entry])] for entry in row["ranking"]
    ]


def ties(entry: Any) -> Level | None:
    """The responses of an entry of `ranked` that is a list of some, and not one response."""
    if isinstance(entry, list) and not all(isinstance(item, dict) for item in entry):
        return entry
    return None


def to_pairs(row: dict[str, Any]) -> list[Pair]:
    return all_pairs(row["prompt"], levels(row), row.get("tools"))


def to_conversation(row: dict[str, Any]) -> Conversation:
    """The prompt and the best response."""
    first = to_pairs(row)[0]
    return Conversation([*first.prompt, first.chosen], first.tools)


def plain(row: dict[str, Any]) -> bool:
    """Whether a row is surely right: `check` finds nothing. False leaves it open."""
    ranked = row.get("ranked")
    return (
        len(row) == 2
        and filled(row.get("prompt"))
        and type(ranked) is list
        and len(ranked) > 1
        and all(filled(response) for response in ranked)
        and len(set(ranked)) == len(ranked)
    )


def check(row: dict[str, Any]) -> Iterator[RowProblem]:
    """Everything that keeps a row with one of KEYS from being trained on."""
    yield from tools.check_row({"tools": row.get("tools")})
    if row.get("prompt") is None:
        yield RowProblem("prompt", "missing_prompt", {"key": "'prompt'", "rename": aliases.advice_for("prompt", row)})
    else:
        yield from check_prompt("prompt", row["prompt"])
    found = list(check_ranked(row["ranked"]) if row.get("ranked") is not None else check_numbered(row))
    yield from found
    if found:
        return
    order = levels(row)
    if len(order) < 2:
        yield RowProblem(key_of(row), "ranking_all_tied", {"key": quoted(key_of(row))})
    rank: dict[str, int] = {}
    for number, level in enumerate(order):
        for response in level:
            if rank.setdefault(repr(text_of(response)), number) != number:
                yield RowProblem(key_of(row), "identical_responses", {"key": quoted(key_of(row))})


def key_of(row: dict[str, Any]) -> str:
    return "ranked" if row.get("ranked") is not None else "ranking"


def check_ranked(ranked: Any) -> Iterator[RowProblem]:
    if not isinstance(ranked, list):
        yield RowProblem("ranked", "ranking_not_list", {"key": "'ranked'", "kind": kind(ranked)})
        return
    count = 0
    for index, entry in enumerate(ranked):
        tied = ties(entry)
        for inner, response in enumerate([entry] if tied is None else tied):
            count += 1
            yield from check_response(f"ranked[{index}]" if tied is None else f"ranked[{index}][{inner}]", response)
    if count < 2:
        yield RowProblem("ranked", "too_few_responses", {"key": "'ranked'", "responses": plural(count, "response")})


def check_numbered(row: dict[str, Any]) -> Iterator[RowProblem]:
    responses, ranking = row.get("responses"), row.get("ranking")
    for key, value in (("responses", responses), ("ranking", ranking)):
        if value is None:
            yield RowProblem(key, "missing_ranking", {"key": quoted(key)})
        elif not isinstance(value, list):
            yield RowProblem(key, "ranking_not_list", {"key": quoted(key), "kind": kind(value)})
    if not isinstance(responses, list) or not isinstance(ranking, list):
        return
    if len(responses) < 2:
        yield RowProblem(
            "responses", "too_few_responses", {"key": "'responses'", "responses": plural(len(responses), "response")}
        )
    for index, response in enumerate(responses):
        yield from check_response(f"responses[{index}]", response)
    seen: set[int] = set()
    for index, entry in enumerate(ranking):
        for inner, number in enumerate(entry if isinstance(entry, list) else [entry]):
            at = f"ranking[{index}][{inner}]" if isinstance(entry, list) else f"ranking[{index}]"
            if type(number) is not int or not 0 <= number < len(responses):
                yield RowProblem(at, "ranking_not_a_response", {"last": max(0, len(responses) - 1)})
            elif number in seen:
                yield RowProblem(at, "ranked_twice", {"number": number})
            else:
                seen.add(number)
        if entry == []:
            yield RowProblem(f"ranking[{index}]", "ranking_empty_tie")
    missing = len(responses) - len(seen)
    if missing:
        yield RowProblem("ranking", "ranking_incomplete", {"responses": plural(missing, "response")})
