"""Rows for reinforcement: a prompt, and whatever else the graders need. OpenAI's `{"messages", …}`, or `{"prompt", …}`.

Every other key is the row's `item`. A row that also says what the assistant should answer can be used as well: its
completion is not trained on, the graders see it as `item.completion`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fettle.datasets.formats import chat, prompt_completion, tools
from fettle.datasets.formats.chat import Conversation, Message
from fettle.datasets.formats.problems import RowProblem, kind
from fettle.datasets.formats.texts import check_parts, check_text, filled, is_parts

KEYS = frozenset({"messages", "prompt", "Prompt"})
NOT_ITEM = frozenset({"messages", "prompt", "Prompt", "tools", "parallel_tool_calls"})
OTHER_SHAPES = frozenset({"completion", "Completion", "chosen", "rejected", "responses", "ranking", "ranked"})


class Prompt(NamedTuple):
    """messages: what the policy answers. item: the row's own keys, for graders."""

    messages: list[Message]
    item: dict[str, Any]


def claims(row: dict[str, Any]) -> bool:
    """Whether a row is a prompt, and no completion. One among rows with completions is a mistake in these."""
    if not OTHER_SHAPES.isdisjoint(row):
        return False
    messages = row.get("messages")
    if messages is None:
        return row.get("prompt") is not None or row.get("Prompt") is not None
    return isinstance(messages, list) and bool(messages) and not ends_with_assistant(messages)


def ends_with_assistant(messages: list[Any]) -> bool:
    return bool(messages) and isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant"


def plain(row: dict[str, Any]) -> bool:
    """Whether a row, like nearly all, is surely right: `check` finds nothing. False leaves it open."""
    return "messages" not in row and filled(row.get("prompt")) and claims(row) and not row.get("tools")


def check(row: dict[str, Any]) -> Iterator[RowProblem]:
    """Everything that keeps a row from being answered."""
    if row.get("tools"):
        yield from tools.check_row(row)
    key, value = prompt_of(row)
    if key != "messages" and not isinstance(value, list):
        yield from check_text(row, key)
        return
    if is_parts(value):
        yield from (RowProblem(f"{key}{path}", code, names) for path, code, names in check_parts(value))
        return
    if (wrong := chat.not_messages(value, key)) is not None:
        yield wrong
        return
    if not value:
        yield RowProblem(key, "empty_messages_list", {"key": repr(key)})
        return
    for index, message in enumerate(value):
        if not isinstance(message, dict):
            yield RowProblem(f"{key}[{index}]", "message_not_object", {"kind": kind(message)})
            continue
        for path, code, names in chat.check_message(message, index):
            yield RowProblem(f"{key}[{index}]{path}", code, names)


def to_conversation(row: dict[str, Any]) -> Conversation:
    return Conversation(to_prompt(row).messages, tools.definitions(row.get("tools")), row.get("parallel_tool_calls"))


def to_prompt(row: dict[str, Any]) -> Prompt:
    """A row that passed validation, of this shape, chat's or prompt and completion's."""
    _, value = prompt_of(row)
    messages = [chat.normalised(message) for message in prompt_completion.as_messages(value, "user")]
    item = {name: value for name, value in row.items() if name not in NOT_ITEM}
    if ends_with_assistant(messages):
        item.setdefault("completion", messages.pop()["content"])
    return Prompt([{name: value for name, value in message.items() if name != "weight"} for message in messages], item)


def prompt_of(row: dict[str, Any]) -> tuple[str, Any]:
    messages = row.get("messages")
    return prompt_completion.find(row, "prompt") if messages is None else ("messages", messages)
