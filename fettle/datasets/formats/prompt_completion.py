"""Rows with a prompt and its completion: strings, or lists of messages; other keys are kept out of training.

Only the completion is trained on: an assistant's messages in a prompt are context.
"""

from collections.abc import Iterator
from typing import Any

from fettle.datasets.formats import chat, texts, tools
from fettle.datasets.formats.chat import Conversation
from fettle.datasets.formats.problems import RowProblem
from fettle.datasets.formats.texts import check_text, filled

KEYS = frozenset({"prompt", "completion", "Prompt", "Completion"})


def to_conversation(row: dict[str, Any]) -> Conversation:
    prompt, completion = find(row, "prompt")[1], find(row, "completion")[1]
    messages = [*(context(message) for message in as_messages(prompt, "user")), *as_messages(completion, "assistant")]
    if isinstance(prompt, str) and isinstance(completion, str):
        return Conversation(messages)
    return chat.to_conversation({**row, "messages": messages})


def as_messages(value: Any, role: str) -> list[Any]:
    """Messages as they are; a text, or its parts, as one."""
    return [{"role": role, "content": value}] if isinstance(value, str) or texts.is_parts(value) else value


def context(message: Any) -> Any:
    """An assistant's message of the prompt, which is not trained on."""
    if isinstance(message, dict) and message.get("role") == "assistant":
        return {**message, "weight": 0}
    return message


def plain(row: dict[str, Any]) -> bool:
    """Whether a row, like nearly all, is surely right: `check` finds nothing. False leaves it open."""
    return len(row) == 2 and filled(row.get("prompt")) and filled(row.get("completion"))


def check(row: dict[str, Any]) -> Iterator[RowProblem]:
    """Everything that keeps a row with one of KEYS from being trained on."""
    (prompt_key, prompt), (completion_key, completion) = find(row, "prompt"), find(row, "completion")
    sides = {prompt_key: prompt, completion_key: completion}
    wrong = False
    for key, value in sides.items():
        if isinstance(value, list):
            if not value:
                wrong = True
                yield RowProblem(key, "empty_messages_list", {"key": repr(key)})
            continue
        for row_problem in check_text(sides, key):
            wrong = True
            yield row_problem
    if isinstance(prompt, str) and isinstance(completion, str):
        if row.get("tools"):
            yield RowProblem("tools", "tools_need_chat", {"key": "'tools'"})
        return
    if not wrong:
        yield from check_lists(row, prompt_key, completion_key)


def check_lists(row: dict[str, Any], prompt_key: str, completion_key: str) -> Iterator[RowProblem]:
    """At least one of the two is a list of messages, and neither is empty."""
    prompt, completion = row[prompt_key], row[completion_key]
    before, after = as_messages(prompt, "user"), as_messages(completion, "assistant")

    def at(index: int) -> str:
        if index < len(before):
            return prompt_key if before is not prompt else f"{prompt_key}[{index}]"
        return completion_key if after is not completion else f"{completion_key}[{index - len(before)}]"

    yield from tools.check_row(row)
    if all(isinstance(each, dict) and each.get("role") != "assistant" for each in after):
        yield RowProblem(completion_key, "example_missing_assistant_message")
        return
    for index, message in enumerate(before):
        if isinstance(message, dict) and message.get("weight") not in (None, 0):
            yield RowProblem(f"{at(index)}.weight", "weight_in_prompt")
    messages = [*(context(message) for message in before), *after]
    yield from chat.check_messages(messages, completion_key, at, row.get("parallel_tool_calls"))


def find(row: dict[str, Any], name: str) -> tuple[str, Any]:
    """The key that holds the text, in lower case or capitalised, and its value."""
    value = row.get(name)
    if value is None and name.capitalize() in row:
        name = name.capitalize()
        value = row[name]
    return name, value
