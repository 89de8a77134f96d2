"""Tools in a chat request, and the messages that call and answer them, as OpenAI names them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fettle.datasets.formats import tools as dataset_tools
from fettle.errors import InvalidRequest
from fettle.schemas.strict import Strict

MAX_TOOLS = 128  # OpenAI's limit
MAX_CALLS = 128  # of one message

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
CallId = Annotated[str, Field(min_length=1, max_length=256)]


class Function(Strict):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def for_template(self) -> dict[str, Any]:
        """As the rows that models are trained on have it: without what only binds the answer."""
        return self.model_dump(exclude={"strict"}, exclude_none=True)


class Tool(Strict):
    type: Literal["function"]
    function: Function


class FunctionChoice(Strict):
    name: str


class NamedTool(Strict):
    type: Literal["function"]
    function: FunctionChoice


ToolChoice = Literal["none", "auto", "required"] | NamedTool


class CalledFunction(Strict):
    name: str
    arguments: str


class ToolCall(Strict):
    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction

    @model_validator(mode="before")
    @classmethod
    def streamed(cls, value: Any) -> Any:
        """A call that a client has put together from a stream has its place as well."""
        if isinstance(value, dict) and isinstance(value.get("index"), int):
            return {name: each for name, each in value.items() if name != "index"}
        return value


Tools = Annotated[list[Tool], Field(min_length=1, max_length=MAX_TOOLS)]
Functions = Annotated[list[Function], Field(min_length=1, max_length=MAX_TOOLS)]
ToolCalls = Annotated[list[ToolCall], Field(max_length=MAX_CALLS)]


def for_template(calls: list[ToolCall], where: str) -> list[dict[str, Any]]:
    """With arguments that are objects. Raises InvalidRequest."""
    for index, call in enumerate(calls):
        if dataset_tools.arguments(call.function.model_dump()) is None:
            raise InvalidRequest(
                f"The arguments of the call {call.id!r} are not a JSON object.",
                param=f"{where}.tool_calls[{index}].function.arguments",
            )
    return dataset_tools.for_template([call.model_dump() for call in calls])


def check_names(functions: list[Function]) -> None:
    """Raises InvalidRequest for a name that two tools have."""
    seen: set[str] = set()
    for index, function in enumerate(functions):
        if function.name in seen:
            raise InvalidRequest(
                f"Two tools have the name {function.name!r}. Give each tool its own name.",
                param=f"tools[{index}].function.name",
            )
        seen.add(function.name)


def check_choice(choice: ToolChoice | None, functions: list[Function]) -> None:
    """Raises InvalidRequest for a choice without tools, or of a tool that is not there."""
    if choice is None or choice == "none":
        return
    if not functions:
        raise InvalidRequest("'tool_choice' requires 'tools'. Send the tools, or remove it.", param="tool_choice")
    if isinstance(choice, NamedTool) and choice.function.name not in [each.name for each in functions]:
        raise InvalidRequest(
            f"'tool_choice' names the function {choice.function.name!r}, but no tool has this name.",
            param="tool_choice",
        )


def check_history(messages: Sequence[tuple[str, list[str], str | None]]) -> None:
    """messages: role, ids of the calls, and the call that a message of role `tool` answers.

    Raises InvalidRequest unless every call is answered before anybody else speaks.
    """
    open_calls: list[str] = []
    for index, (role, calls, answers) in enumerate(messages):
        if role == "tool":
            if answers not in open_calls:
                raise InvalidRequest(
                    f"No tool call of the assistant message before has the id {answers!r}, or it is answered already.",
                    param=f"messages[{index}].tool_call_id",
                )
            open_calls.remove(str(answers))
            continue
        if open_calls:
            raise InvalidRequest(
                f"The tool call {open_calls[0]!r} has no answer. Send a message with the role 'tool' and this "
                "'tool_call_id' after the assistant message that makes the call.",
                param=f"messages[{index}]",
            )
        open_calls = list(calls)
    if open_calls:
        raise InvalidRequest(
            f"The tool call {open_calls[0]!r} has no answer. Send a message with the role 'tool' and this "
            "'tool_call_id' last.",
            param="messages",
        )
