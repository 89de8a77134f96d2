"""OpenAI's chat rows: `{"messages": [{"role", "content"}, …]}`; an assistant's message may have `weight` 0 or 1.

A key whose value is null counts as absent: that is how columnar libraries write rows whose messages differ in keys.
Other keys beside `messages` are allowed and kept out of training.
"""

from collections.abc import Iterator
from typing import Any

from fettle.formats.problems import Finding, kind, quoted, step

Message = dict[str, Any]

KEYS = frozenset({"messages"})
ROLES = frozenset({"system", "user", "assistant"})
TOOL_ROLES = frozenset({"tool", "function"})
TOOL_KEYS = ("tools", "functions")
MESSAGE_KEYS = frozenset({"role", "content", "name", "weight"})
MESSAGE_TOOL_KEYS = frozenset({"tool_calls", "function_call", "tool_call_id"})


def to_messages(row: dict[str, Any]) -> list[Message]:
    return [{key: value for key, value in message.items() if value is not None} for message in row["messages"]]


def check(row: dict[str, Any]) -> Iterator[Finding]:
    """Everything that keeps a row with a `messages` key from being trained on."""
    for key in TOOL_KEYS:
        if row.get(key):
            yield Finding(key, "tools_unsupported", {"key": quoted(key)})
    messages = row["messages"]
    if not isinstance(messages, list):
        yield Finding("messages", "messages_not_list", {"kind": kind(messages)})
        return
    if not messages:
        yield Finding("messages", "empty_messages_list")
        return
    turns = lessons = 0
    role: Any = None
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            role = None
            yield Finding(f"messages[{index}]", "message_not_object", {"kind": kind(message)})
            continue
        role, content = message.get("role"), message.get("content")
        if role == "assistant":
            turns += 1
            lessons += message.get("weight") != 0
        plain = len(message) == 2 and type(content) is str and content and not content.isspace()
        if plain and (role == "user" or role == "assistant" or (role == "system" and not index)):
            continue  # nearly every message: no need to look closer
        for path, code, names in check_message(message, index):
            yield Finding(f"messages[{index}]{path}", code, names)
    if not turns:
        yield Finding("messages", "example_missing_assistant_message")
        return
    if role == "user" or role == "system":
        yield Finding(f"messages[{len(messages) - 1}].role", "last_message_not_assistant")
    if not lessons:
        yield Finding("messages", "all_weights_zero")


def check_message(message: Message, index: int) -> Iterator[Finding]:
    """Paths are relative to the message."""
    role, content = message.get("role"), message.get("content")
    if not message.keys() <= MESSAGE_KEYS:
        yield from _check_keys(message)
    if not isinstance(role, str):
        if role is None:
            yield Finding(".role", "message_missing_key", {"key": quoted("role")})
        else:
            yield Finding(".role", "role_not_string", {"kind": kind(role)})
    elif role in TOOL_ROLES:
        yield Finding(".role", "tools_unsupported", {"key": f"The role {quoted(role)}"})
    elif role not in ROLES:
        yield Finding(".role", "unrecognized_role", {"role": quoted(role)})
    elif role == "system" and index:
        yield Finding(".role", "system_not_first")
    if isinstance(content, str):
        if role == "assistant" and (not content or content.isspace()):
            yield Finding(".content", "empty_content")
    elif content is not None:
        yield Finding(".content", "content_not_string", {"kind": kind(content)})
    elif message.keys().isdisjoint(MESSAGE_TOOL_KEYS):  # a tool call may stand without content
        yield Finding(".content", "missing_content")
    if len(message) > 2:
        yield from _check_options(message, role)


def _check_keys(message: Message) -> Iterator[Finding]:
    for key in message.keys() - MESSAGE_KEYS:
        if message[key] is None:
            continue
        code = "tools_unsupported" if key in MESSAGE_TOOL_KEYS else "message_unrecognized_key"
        yield Finding(step(key), code, {"key": quoted(key)})


def _check_options(message: Message, role: Any) -> Iterator[Finding]:
    name, weight = message.get("name"), message.get("weight")
    if name is not None and not isinstance(name, str):
        yield Finding(".name", "name_not_string", {"kind": kind(name)})
    if weight is None:
        return
    if isinstance(weight, bool) or weight not in (0, 1):
        yield Finding(".weight", "invalid_weight")
    elif role in ROLES and role != "assistant":
        yield Finding(".weight", "weight_not_assistant")
