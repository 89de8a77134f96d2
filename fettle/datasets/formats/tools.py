"""Tool calls in OpenAI's chat rows: a row's `tools`, an assistant's `tool_calls`, the answers of role `tool`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from fettle.datasets.formats import jsonl
from fettle.datasets.formats.problems import RowProblem, kind, plural
from fettle.datasets.formats.texts import EMPTY

# Keys of a row that may hold messages, or lists of them
MESSAGES = (
    *("messages", "prompt", "completion", "Prompt", "Completion", "chosen", "rejected", "responses", "ranked"),
    *("preferred_output", "non_preferred_output", "preferred_completion", "non_preferred_completion"),
)
OLD_KEYS = ("functions", "function_call")


def check_row(row: dict[str, Any]) -> Iterator[RowProblem]:
    """The tool definitions of a row, next to its messages."""
    for key in OLD_KEYS:
        if row.get(key):
            yield RowProblem(key, "functions_unsupported", {"key": repr(key)})
    tools, parallel = row.get("tools"), row.get("parallel_tool_calls")
    if parallel is not None and not isinstance(parallel, bool):
        yield RowProblem("parallel_tool_calls", "parallel_tool_calls_not_boolean", {"kind": kind(parallel)})
    if tools is None:
        return
    if not isinstance(tools, list):
        yield RowProblem("tools", "tools_not_list", {"kind": kind(tools)})
        return
    names = set()
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if reason := not_a_tool(tool, function, name) or (name in names and "another tool has the same name"):
            yield RowProblem(f"tools[{index}]", "invalid_tool", {"reason": reason})
        elif name is not None:
            names.add(name)


def not_a_tool(tool: Any, function: Any, name: Any) -> str | None:
    if not isinstance(tool, dict):
        return f"it is {kind(tool)}"
    if tool.get("type") != "function":
        return "its type is not 'function'"
    if not isinstance(function, dict):
        return "it has no object 'function'"
    if not isinstance(name, str) or not name:
        return "the function has no name"
    if not isinstance(function.get("parameters") or {}, dict):
        return "'parameters' is no JSON schema"
    return None


def check_calls(message: dict[str, Any], role: Any, parallel: bool) -> Iterator[RowProblem]:
    """The keys of one message that belong to tools. Paths are relative to the message."""
    if message.get("function_call") is not None:
        yield RowProblem(".function_call", "functions_unsupported", {"key": "'function_call'"})
    if role == "tool":
        if not isinstance(message.get("tool_call_id"), str):
            yield RowProblem(".tool_call_id", "missing_tool_call_id")
    elif message.get("tool_call_id") is not None:
        yield RowProblem(".tool_call_id", "tool_call_id_not_tool")
    calls = message.get("tool_calls")
    if calls in EMPTY:
        return
    if role != "assistant":
        yield RowProblem(".tool_calls", "tool_calls_not_assistant")
    elif not isinstance(calls, list):
        yield RowProblem(".tool_calls", "invalid_tool_call", {"reason": f"it is {kind(calls)}, not a list"})
    else:
        for index, call in enumerate(calls):
            if wrong := not_a_call(call):
                yield RowProblem(f".tool_calls[{index}]", "invalid_tool_call", {"reason": wrong})
        if len(calls) > 1 and not parallel:
            yield RowProblem(".tool_calls", "parallel_tool_calls_forbidden", {"count": len(calls)})


def not_a_call(call: Any) -> str | None:
    if not isinstance(call, dict):
        return f"the call is {kind(call)}"
    function = call.get("function")
    if not isinstance(call.get("id"), str) or not call["id"]:
        return "the call has no id"
    if call.get("type", "function") != "function":
        return "its type is not 'function'"
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        return "the call does not name a function"
    if arguments(function) is None:
        return "its arguments are no JSON object"
    text = function.get("arguments")
    problems = jsonl.read_value(text.encode())[1] if isinstance(text, str) and text else None
    if any(problem.code == "number_too_long" for problem in problems or []):
        return "its arguments have a whole number of more than 64 bits, which must be a string"
    return None


def arguments(function: dict[str, Any]) -> dict[str, Any] | None:
    """A call's arguments; as the API gives them, in JSON, or as an object already. None: neither."""
    value = function.get("arguments")
    if isinstance(value, str):
        try:
            value = orjson.loads(value or "{}")
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, dict) else None


def check_answers(messages: Sequence[Any], at: Callable[[int], str]) -> Iterator[RowProblem]:
    """Every call is answered once, by its id, before anybody else speaks; the last message's calls may stay open."""
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        answers = message.get("tool_call_id")
        if message.get("role") == "tool":
            if isinstance(answers, str) and answers not in open_calls:
                yield RowProblem(f"{at(index)}.tool_call_id", "unknown_tool_call_id")
            open_calls.discard(answers or "")
            continue
        if open_calls:
            yield RowProblem(at(index), "unanswered_tool_call", {"calls": plural(len(open_calls), "tool call")})
        calls = message.get("tool_calls")
        ids = [call.get("id") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        open_calls = {id for id in ids if isinstance(id, str)}


def used(messages: Sequence[Any]) -> bool:
    return any(
        isinstance(message, dict) and (message.get("tool_calls") not in EMPTY or message.get("role") == "tool")
        for message in messages
    )


def turns(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every message of a row, whatever its shape."""
    inside = row.get("input")
    waiting = [row.get(key) for key in MESSAGES] + ([inside.get("messages")] if isinstance(inside, dict) else [])
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            yield value


def needs(row: dict[str, Any]) -> set[str]:
    """What a chat template must know to show a row that passed its check: `tools`, `tool_calls`."""
    inside = row.get("input")
    listed = row.get("tools") or (isinstance(inside, dict) and inside.get("tools"))
    found = {"tools"} if listed else set()
    if any(turn.get("tool_calls") not in EMPTY or turn.get("role") == "tool" for turn in turns(row)):
        found.add("tool_calls")
    return found


def called(function: dict[str, Any]) -> dict[str, Any]:
    """With arguments that are an object. Of one that was an object, nulls are left out as in `definitions`; JSON text
    says what it says.
    """
    found = arguments(function)
    found = without_nulls(found) if isinstance(function.get("arguments"), dict) else found
    return {**without_nulls(function), "arguments": found}


def for_template(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As chat templates expect them: with arguments that are objects."""
    return [{**without_nulls(call), "type": "function", "function": called(call["function"])} for call in calls]


def definitions(found: Any) -> Any:
    """`tools` as a chat template gets them. Columnar libraries write null for every key that only other rows have."""
    return without_nulls(found) if found else found


def without_nulls(value: Any) -> Any:
    """Without the keys of objects whose value is null; a list keeps its nulls, such as an `enum`."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value
