"""Function calling in the Responses API, told in the engine's words: flat tools, items that call and that answer."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fettle.methods.common import ITEMS_AT_MOST
from fettle.schemas.strict import Strict

TOOLS_AT_MOST = 128
ITEM_TYPES = ("message", "function_call", "function_call_output")  # of a request's `input`


class FunctionTool(Strict):
    """The engine checks what it holds."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def for_engine(self) -> dict[str, Any]:
        return {"type": "function", "function": self.model_dump(exclude={"type"}, exclude_none=True)}

    def body(self) -> dict[str, Any]:
        return self.model_dump() | {"strict": bool(self.strict)}


class NamedFunction(Strict):
    type: Literal["function"]
    name: str

    def for_engine(self) -> dict[str, Any]:
        return {"type": "function", "function": {"name": self.name}}


ToolChoice = Literal["none", "auto", "required"] | NamedFunction


class OutputPart(Strict):
    type: Literal["input_text", "output_text"]
    text: str


def as_text_parts(value: object) -> object:
    return [{"type": "input_text", "text": value}] if isinstance(value, str) else value


class FunctionCall(Strict):
    """A call of an earlier answer."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None

    def for_engine(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.call_id, "type": "function", "function": function}


class FunctionCallOutput(Strict):
    type: Literal["function_call_output"]
    call_id: str
    output: Annotated[list[OutputPart], Field(max_length=ITEMS_AT_MOST), BeforeValidator(as_text_parts)]
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None

    def for_engine(self) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": self.call_id, "content": "".join(part.text for part in self.output)}


def chat_messages(items: list[Any]) -> list[dict[str, Any]]:
    """Calls join the assistant's message before them, or make one."""
    messages: list[dict[str, Any]] = []
    for item in items:
        if not isinstance(item, FunctionCall):
            messages.append(item.for_engine())
            continue
        if not (messages and messages[-1]["role"] == "assistant"):
            messages.append({"role": "assistant", "content": None})
        messages[-1].setdefault("tool_calls", []).append(item.for_engine())
    return messages
