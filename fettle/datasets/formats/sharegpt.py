"""ShareGPT's rows: `{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}`.

A `system` text may stand beside them; a turn of gpt may have `weight` 0 or 1.
"""

import re
from collections.abc import Iterator
from typing import Any

from fettle.datasets.formats import chat
from fettle.datasets.formats.chat import Conversation
from fettle.datasets.formats.problems import RowProblem, kind, quoted, step
from fettle.datasets.formats.texts import EMPTY, check_optional, filled

KEYS = frozenset({"conversations"})
ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
}
TOOL_ROLES = ("function_call", "observation", "tool")
ROLES_NAMED = {"roles": "system, human (or user), gpt (or chatgpt, assistant)"}
TURN_KEYS = frozenset({"from", "value", "weight"})
RENAMED = {"role": "from", "content": "value"}


def to_conversation(row: dict[str, Any]) -> Conversation:
    messages = [chat.normalised(as_message(turn)) for turn in row["conversations"]]
    if filled(row.get("system")):
        messages.insert(0, {"role": "system", "content": row["system"]})
    return Conversation(messages)


def as_message(turn: dict[str, Any]) -> dict[str, Any]:
    message = {"role": ROLES.get(turn["from"], turn["from"]), "content": turn["value"]}
    return message if turn.get("weight") is None else {**message, "weight": turn["weight"]}


def plain(row: dict[str, Any]) -> bool:
    """A closer look is taken at every row."""
    return False


def check(row: dict[str, Any]) -> Iterator[RowProblem]:
    """Everything that keeps a row with `conversations` from being trained on."""
    turns = row["conversations"]
    yield from check_optional(row, "system")
    if row.get("tools"):
        yield RowProblem("tools", "tools_need_chat", {"key": "'tools'"})
    if not isinstance(turns, list):
        yield RowProblem("conversations", "messages_not_list", {"key": "'conversations'", "kind": kind(turns)})
        return
    if turns and all(isinstance(turn, dict) and "role" in turn and "from" not in turn for turn in turns):
        yield RowProblem("conversations", "turns_are_messages", {"key": "'conversations'"})
        return
    messages: list[Any] = []
    for index, turn in enumerate(turns):
        wrong = False
        for path, code, names in check_turn(turn):
            wrong = True
            yield RowProblem(f"conversations[{index}]{path}", code, names)
        if wrong:
            return  # what follows from a turn that cannot be read is no second mistake
        messages.append(as_message(turn))
    if messages and messages[0]["role"] == "system" and filled(row.get("system")):
        yield RowProblem("conversations[0].from", "system_not_first")
    for path, code, names in chat.check_messages(messages, "conversations", lambda index: f"conversations[{index}]"):
        yield RowProblem(re.sub(r"(?<=\]\.)(role|content)\b", lambda key: RENAMED[key[0]], path, count=1), code, names)


def check_turn(turn: Any) -> Iterator[RowProblem]:
    """Paths are relative to the turn."""
    if not isinstance(turn, dict):
        yield RowProblem("", "message_not_object", {"kind": kind(turn)})
        return
    for key in turn.keys() - TURN_KEYS:
        if turn[key] not in EMPTY:
            yield RowProblem(step(key), "message_unrecognized_key", {"key": quoted(key)})
    speaker, value = turn.get("from"), turn.get("value")
    if speaker is None:
        yield RowProblem(".from", "message_missing_key", {"key": "'from'"})
    elif not isinstance(speaker, str):
        yield RowProblem(".from", "role_not_string", {"kind": kind(speaker), **ROLES_NAMED})
    elif speaker in TOOL_ROLES:
        yield RowProblem(".from", "tools_need_chat", {"key": quoted(speaker)})
    elif speaker not in ROLES:
        yield RowProblem(".from", "unrecognized_role", {"role": quoted(speaker), "rename": "", **ROLES_NAMED})
    if value is None:
        yield RowProblem(".value", "message_missing_key", {"key": "'value'"})
    elif not isinstance(value, str | list):
        yield RowProblem(".value", "content_not_string", {"kind": kind(value)})
