"""Label Studio's tasks, as its export in the format JSON has them: results of the tags Ranker and Pairwise.

Read from its documentation (guide "Task format", tags "Ranker" and "Pairwise", templates "LLM Ranker" and "Human
Preferences collection for RLHF", 1.x).
"""

from collections.abc import Iterator
from typing import Any

from fettle.comparisons.imports.votes import ImportedVote, LeftOut, Unfit, as_messages, prompt_of, text

TEXT_KEYS = ("body", "text", "html", "title")  # of an item of a list
SIDES = {"left": 0, "right": 1}


def fits(record: dict[str, Any]) -> bool:
    return "data" in record and "annotations" in record


def votes(record: dict[str, Any], prompt_key: str | None) -> Iterator[ImportedVote | LeftOut]:
    """Raises Unfit."""
    data, annotations = record.get("data"), record.get("annotations")
    if not isinstance(data, dict) or not isinstance(annotations, list):
        raise Unfit("The task does not have an object 'data' and a list 'annotations'.")
    prompt_name = prompt_of(data, prompt_key)
    prompt = as_messages(text(data[prompt_name], f"The field {prompt_name!r}"))
    for annotation in annotations:
        if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
            raise Unfit("An annotation does not have a list 'result'.")
        if annotation.get("was_cancelled"):
            yield LeftOut("The annotator skipped the task.")
            continue
        found = [vote for result in annotation["result"] for vote in of_result(result, data, prompt_name)]
        if not found:
            yield LeftOut("The annotation has no result of the tags Ranker and Pairwise.")
        for each in found:
            if isinstance(each, LeftOut):
                yield each
            else:
                responses = [response for level in each for response in level]
                who = annotator_of(annotation.get("completed_by"))
                yield ImportedVote(prompt, responses, each, who, seconds_of(annotation.get("lead_time")))


def of_result(result: Any, data: dict[str, Any], prompt_name: str) -> Iterator[list[list[str]] | LeftOut]:
    """Raises Unfit."""
    if not isinstance(result, dict) or not isinstance(result.get("value"), dict):
        return
    if result.get("type") == "ranker":
        yield of_ranker(result["value"].get("ranker"), data)
    elif result.get("type") == "pairwise":
        pair = pair_of(result, data, prompt_name)
        side = SIDES.get(str(result["value"].get("selected")))
        if side is None:
            yield LeftOut("The annotator selected neither side.")
        else:
            yield [[pair[side]], [pair[1 - side]]]


def of_ranker(ranked: Any, data: dict[str, Any]) -> list[list[str]] | LeftOut:
    """Raises Unfit."""
    if isinstance(ranked, dict):  # buckets: `_` is the list that was not sorted into any
        filled = [bucket for bucket in ranked.values() if bucket]
        if len(filled) != 1:
            return LeftOut("The items are in several buckets, whose order is not known.")
        ranked = filled[0]
    if not isinstance(ranked, list):
        raise Unfit("The value of a Ranker is not a list of ids.")
    lists = [value for value in data.values() if isinstance(value, list)]
    known = {str(item["id"]): item for each in lists for item in each if isinstance(item, dict) and "id" in item}
    if missing := [id for id in map(str, ranked) if id not in known]:
        raise Unfit(f"A Ranker names the id {missing[0][:40]!r}, which no item of the task has.")
    if len(ranked) < 2:
        return LeftOut("Fewer than two items are ranked.")
    return [[text_of(known[str(id)])] for id in ranked]


def text_of(item: dict[str, Any]) -> str:
    """Raises Unfit."""
    key = next((key for key in TEXT_KEYS if item.get(key)), None)
    if key is None:
        raise Unfit(f"An item of the task has none of: {', '.join(TEXT_KEYS)}.")
    return text(item[key], f"An item's {key!r}")


def pair_of(result: dict[str, Any], data: dict[str, Any], prompt_name: str) -> tuple[str, str]:
    """Left and right: the fields that `to_name` names, or else the task's two other texts. Raises Unfit."""
    named = [name.strip() for name in str(result.get("to_name", "")).split(",")]
    others = [name for name, value in data.items() if isinstance(value, str) and name != prompt_name]
    names = named if len(named) == 2 and all(name in data for name in named) else others
    if len(names) != 2:
        raise Unfit(f"The task has {len(names)} texts beside its prompt. A Pairwise result needs two.")
    left, right = (text(data[name], f"The field {name!r}") for name in names)
    return left, right


def annotator_of(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return None if value is None else str(value)


def seconds_of(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 24 * 3600 else None
