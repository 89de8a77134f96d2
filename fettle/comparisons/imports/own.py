"""Rows as Fettle trains on them: rankings and preference pairs, each a vote.

A row may name its annotator: `{"prompt", "ranked", "annotator": "Ann"}`.
"""

from collections.abc import Iterator
from typing import Any

from fettle.comparisons.imports.votes import ImportedVote, LeftOut, Unfit, as_messages, text
from fettle.datasets.formats import preference, ranking
from fettle.datasets.formats.problems import put_into_words

KEYS = ranking.KEYS | preference.KEYS


def fits(record: dict[str, Any]) -> bool:
    return not KEYS.isdisjoint(record)


def votes(record: dict[str, Any], prompt_key: str | None) -> Iterator[ImportedVote | LeftOut]:
    """Raises Unfit."""
    if not fits(record):
        raise Unfit(f"The row has none of the keys of a ranking or a pair: {', '.join(sorted(KEYS))}.")
    if prompt_key:
        record = {**record, "prompt": record.get(prompt_key)}
    shape = ranking if not ranking.KEYS.isdisjoint(record) else preference
    for problem in shape.check(record):
        found = put_into_words(0, problem)
        raise Unfit(f"{found.message} {found.fix}")
    annotator = record.get("annotator")
    if annotator is not None and not isinstance(annotator, str):
        raise Unfit("'annotator' is not text.")
    if shape is ranking:
        prompt, levels = record["prompt"], ranking.levels(record)
    else:
        (pair,) = preference.to_pairs(record)
        prompt, levels = pair.prompt, [[[pair.chosen]], [[pair.rejected]]]
    texts = [[content_of(response) for response in level] for level in levels]
    yield ImportedVote(messages_of(prompt), [each for level in texts for each in level], texts, annotator)


def messages_of(prompt: Any) -> list[dict[str, Any]]:
    """Raises Unfit."""
    if isinstance(prompt, str):
        return as_messages(text(prompt, "The prompt"))
    return [{"role": each["role"], "content": text(each.get("content"), "A message of the prompt")} for each in prompt]


def content_of(response: Any) -> str:
    """Raises Unfit."""
    return text(response if isinstance(response, str) else response[0].get("content"), "A response")
