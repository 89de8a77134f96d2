"""OpenAI's older form of tools: `functions` and `function_call`, mapped to the newer one and back."""

from typing import Any, Literal

from worker.engine.tools.schemas import Function, FunctionChoice, NamedTool, Tool, ToolChoice


def tools(functions: list[Function] | None) -> list[Tool] | None:
    return None if functions is None else [Tool(type="function", function=function) for function in functions]


def choice(function_call: Literal["none", "auto"] | FunctionChoice | None) -> ToolChoice | None:
    if isinstance(function_call, FunctionChoice):
        return NamedTool(type="function", function=function_call)
    return function_call


def mapped_messages(messages: list[Any]) -> list[Any]:
    """A `function_call` becomes the one tool call of its message, which the next message of role `function` answers."""
    made = []
    for index, message in enumerate(messages):
        if isinstance(message, dict) and isinstance(message.get("function_call"), dict):
            call = {"id": f"call_{index}", "type": "function", "function": message["function_call"]}
            message = {**message, "tool_calls": [call]}
            del message["function_call"]
        elif isinstance(message, dict) and message.get("role") == "function":
            message = {**message, "role": "tool", "tool_call_id": f"call_{index - 1}"}
            message.pop("name", None)
        made.append(message)
    return made


def answer(content: dict[str, Any]) -> dict[str, Any]:
    """A message or a delta in the older form."""
    calls = content.get("tool_calls")
    if not calls:
        return content
    function = calls[0]["function"]
    return {**{name: value for name, value in content.items() if name != "tool_calls"}, "function_call": function}
