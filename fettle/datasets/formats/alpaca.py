"""Alpaca's rows (Taori et al. 2023): `instruction`, perhaps `input`, `output`, perhaps `system`.

The user's message is the instruction, and the input on the lines after it: the base model's chat template takes the
place of Alpaca's own wording around them.
"""

from collections.abc import Iterator
from typing import Any

from fettle.datasets.formats.chat import Conversation, Message
from fettle.datasets.formats.problems import RowProblem
from fettle.datasets.formats.texts import check_optional, check_text, filled

KEYS = frozenset({"instruction", "output"})
TEXTS = ("instruction", "output")
OPTIONAL = ("input", "system")


def to_conversation(row: dict[str, Any]) -> Conversation:
    instruction, input_text = row["instruction"], row.get("input")
    messages: list[Message] = [{"role": "system", "content": row["system"]}] if filled(row.get("system")) else []
    messages.append({"role": "user", "content": f"{instruction}\n{input_text}" if filled(input_text) else instruction})
    messages.append({"role": "assistant", "content": row["output"]})
    return Conversation(messages)


def plain(row: dict[str, Any]) -> bool:
    """Whether a row is surely right: `check` finds nothing. False leaves it open."""
    texts = filled(row.get("instruction")) and filled(row.get("output"))
    return texts and len(row) == 2 + (type(row.get("input")) is str)


def check(row: dict[str, Any]) -> Iterator[RowProblem]:
    """Everything that keeps a row with one of KEYS from being trained on."""
    for key in TEXTS:
        yield from check_text(row, key)
    for key in OPTIONAL:
        yield from check_optional(row, key)
    if row.get("history"):
        yield RowProblem("history", "history_unsupported")
    if row.get("tools"):
        yield RowProblem("tools", "tools_need_chat", {"key": "'tools'"})
