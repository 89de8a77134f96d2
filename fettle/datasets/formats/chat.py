"""OpenAI's chat rows: `{"messages": [{"role", "content"}, …]}`; an assistant's message may have `weight` 0 or 1.

A content may be a list of text parts, which are one text. A key whose value is null counts as absent: that is how
columnar libraries write rows whose messages differ in keys.
Other keys beside `messages`, `tools` and `parallel_tool_calls` are allowed and kept out of training.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from fettle.datasets.formats import texts, tools
from fettle.datasets.formats.problems import RowProblem, kind, quoted, step
from fettle.datasets.formats.texts import EMPTY

Message = dict[str, Any]

KEYS = frozenset({"messages"})
SYSTEM_ROLES = ("system", "developer")  # two names of one role
ROLES = ("system", "developer", "user", "assistant", "tool")
ROLES_NAMED = {"roles": "system, developer, user, assistant, tool"}
MESSAGE_KEYS = frozenset({"role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call"})


REASONING_KEYS = frozenset({"reasoning", "reasoning_content", "reasoning_details", "thinking", "thought", "thoughts"})
OTHER_ROLES = {
    **dict.fromkeys(("human", "prompter", "customer", "question"), "user"),
    **dict.fromkeys(("ai", "model", "bot", "gpt", "chatgpt", "chatbot", "assistent", "agent", "answer"), "assistant"),
    "function_response": "tool",
}


class Conversation(NamedTuple):
    """What a row teaches: messages, of which an assistant's may have a `weight`, and what else a template is told."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    parallel_tool_calls: bool | None = None

    @property
    def variables(self) -> dict[str, Any]:
        """Those of the chat template, beside the messages."""
        value = {"tools": self.tools, "parallel_tool_calls": self.parallel_tool_calls}
        return {name: value for name, value in value.items() if value not in (None, [])}


def to_conversation(row: dict[str, Any]) -> Conversation:
    return Conversation(
        [normalised(message) for message in row["messages"]],
        tools.definitions(row.get("tools")),
        row.get("parallel_tool_calls"),
    )


def normalised(message: Message) -> Message:
    """As chat templates expect it: no nulls, `developer` as `system`, arguments of calls as objects."""
    if len(message) == 2 and message["role"] != "developer" and type(message.get("content")) is str:
        return message  # nearly every one
    message = {key: value for key, value in message.items() if key in MESSAGE_KEYS and value not in EMPTY}
    if message["role"] == "developer":
        message["role"] = "system"
    message["content"] = texts.joined(message.get("content", ""))
    if "tool_calls" in message:
        message["tool_calls"] = tools.for_template(message["tool_calls"])
    return message


def check(row: dict[str, Any]) -> Iterator[RowProblem]:
    """Everything that keeps a row with a `messages` key from being trained on."""
    if len(row) > 1:
        yield from tools.check_row(row)
    messages = row["messages"]
    if (wrong := not_messages(messages, "messages")) is not None:
        yield wrong
        return
    yield from check_messages(messages, "messages", lambda index: f"messages[{index}]", row.get("parallel_tool_calls"))


def not_messages(value: Any, key: str) -> RowProblem | None:
    """What a value is in place of a list of messages."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        return RowProblem(key, "cell_encoded_twice", {"key": quoted(key)})
    if not isinstance(value, list):
        return RowProblem(key, "messages_not_list", {"key": quoted(key), "kind": kind(value)})
    if value and all(isinstance(turn, dict) and "from" in turn and "role" not in turn for turn in value):
        return RowProblem(key, "messages_are_turns")
    return None


def plain(row: dict[str, Any]) -> bool:
    """Whether a row, like nearly all, is surely right: `check` finds nothing. False leaves it open."""
    if len(row) != 1:
        return False
    messages = row.get("messages")
    if type(messages) is not list:
        return False
    role = None
    for message in messages:
        if type(message) is not dict or len(message) != 2:
            return False
        before, role, content = role, message.get("role"), message.get("content")
        if type(content) is not str or not content or content.isspace():
            return False
        if role != "user" and role != "assistant" and (role != "system" or before is not None):
            return False
    return role == "assistant"


def check_messages(
    messages: Sequence[Any], whole: str, at: Callable[[int], str], parallel: Any = None
) -> Iterator[RowProblem]:
    """whole: path of the list; at: path of one message; parallel: the row's parallel_tool_calls."""
    if not messages:
        yield RowProblem(whole, "empty_messages_list", {"key": quoted(whole)})
        return
    turns = lessons = 0
    role: Any = None
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            role = None
            yield RowProblem(at(index), "message_not_object", {"kind": kind(message)})
            continue
        role = message.get("role")
        if role == "assistant":
            turns += 1
            lessons += message.get("weight") != 0
        for path, code, names in check_message(message, index, parallel is not False):
            yield RowProblem(f"{at(index)}{path}", code, names)
    if tools.used(messages):
        yield from tools.check_answers(messages, at)
    if not turns:
        yield RowProblem(whole, "example_missing_assistant_message")
        return
    if role != "assistant" and role in ROLES:
        yield RowProblem(f"{at(len(messages) - 1)}.role", "last_message_not_assistant")
    if not lessons:
        yield RowProblem(whole, "all_weights_zero")


def check_message(message: Message, index: int, parallel: bool = True) -> Iterator[RowProblem]:
    """Paths are relative to the message."""
    role, content = message.get("role"), message.get("content")
    if not message.keys() <= MESSAGE_KEYS:
        for key in message.keys() - MESSAGE_KEYS:
            if message[key] not in EMPTY:
                code = "message_with_reasoning" if key in REASONING_KEYS else "message_unrecognized_key"
                yield RowProblem(step(key), code, {"key": quoted(key)})
    if not isinstance(role, str):
        if role is None:
            yield RowProblem(".role", "message_missing_key", {"key": quoted("role")})
        else:
            yield RowProblem(".role", "role_not_string", {"kind": kind(role), **ROLES_NAMED})
    elif role == "function":
        yield RowProblem(".role", "functions_unsupported", {"key": "The role 'function'"})
    elif role not in ROLES:
        rename = f"Write {meant!r} in place of {quoted(role)}. " if (meant := meant_role(role)) else ""
        yield RowProblem(".role", "unrecognized_role", {"role": quoted(role), "rename": rename, **ROLES_NAMED})
    elif role in SYSTEM_ROLES and index:
        yield RowProblem(".role", "system_not_first")
    calls = message.get("tool_calls") not in EMPTY or message.get("function_call") is not None
    if isinstance(content, list):
        for path, code, names in texts.check_parts(content):
            yield RowProblem(f".content{path}", code, names)
        content = texts.joined(content)
    if isinstance(content, str):
        if role == "assistant" and (not content or content.isspace()) and not calls:
            yield RowProblem(".content", "empty_content")
    elif content is not None:
        yield RowProblem(".content", "content_not_string", {"kind": kind(content)})
    elif not calls:  # a call may stand without content
        yield RowProblem(".content", "missing_content")
    if len(message) > 2:
        yield from _check_options(message, role)
    if len(message) > 2 or role == "tool" or calls:
        yield from tools.check_calls(message, role, parallel)


def meant_role(role: str) -> str | None:
    """A role that goes by another name elsewhere."""
    plain_role = role.strip().lower()
    return plain_role if plain_role in ROLES else OTHER_ROLES.get(plain_role)


def _check_options(message: Message, role: Any) -> Iterator[RowProblem]:
    name, weight = message.get("name"), message.get("weight")
    if name is not None and not isinstance(name, str):
        yield RowProblem(".name", "name_not_string", {"kind": kind(name)})
    if weight is None:
        return
    if isinstance(weight, bool) or weight not in (0, 1):
        yield RowProblem(".weight", "invalid_weight")
    elif role in ROLES and role != "assistant":
        yield RowProblem(".weight", "weight_not_assistant")
