"""OpenAI's Responses API in its text form, told in the engine's words: a chat request, and its answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from fettle import ids
from fettle.errors import InvalidRequest
from fettle.inference.requests.chat import Unneeded
from fettle.inference.requests.response_tools import (
    TOOLS_AT_MOST,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    ToolChoice,
    chat_messages,
)
from fettle.methods.common import ITEMS_AT_MOST
from fettle.schemas.strict import Strict
from models import StoredResponse

MESSAGES_AT_MOST = 2_000
PARAMS = {  # of the engine's refusals: what our caller has said instead
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
}


def as_parts(content: object) -> object:
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


def as_messages(value: object) -> object:
    """Items, each with its type: only a message may go without."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if not isinstance(value, list):
        return value
    return [{"type": "message", **item} if isinstance(item, dict) else item for item in value]


class Part(Strict):
    """A piece of a message. What an earlier answer's part says beside its text is for people."""

    type: Literal["input_text", "output_text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)] = Field(default_factory=list)
    logprobs: Annotated[list[Any], Field(max_length=0)] | None = None


class Message(Strict):
    """A message; an item of an earlier answer's `output` is one as well."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Annotated[list[Part], Field(max_length=ITEMS_AT_MOST), BeforeValidator(as_parts)]
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None

    def for_engine(self) -> dict[str, str]:
        return {"role": self.role, "content": "".join(part.text for part in self.content)}


Item = Annotated[Message | FunctionCall | FunctionCallOutput, Field(discriminator="type")]


ITEMS: TypeAdapter[list[Any]] = TypeAdapter(list[Item])


class Format(Strict):
    """json_schema has the other fields; whether it can be kept to is the engine's word."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None

    def for_engine(self) -> dict[str, Any]:
        if self.type != "json_schema":
            return {"type": self.type}
        return {"type": self.type, "json_schema": self.model_dump(by_alias=True, exclude={"type"}, exclude_none=True)}


class Text(Strict):
    format: Format | None = None


class Reasoning(Strict):
    """OpenAI's settings of its own models: taken, but open base models have none."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ResponseCreate(Unneeded):
    """The body of POST /v1/responses; what only OpenAI's service can do is refused by its name."""

    model: str
    input: Annotated[list[Item], Field(min_length=1, max_length=MESSAGES_AT_MOST), BeforeValidator(as_messages)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: Text | None = None
    stream: bool | None = None
    truncation: Literal["disabled"] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=TOOLS_AT_MOST)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: Annotated[str, Field(max_length=100)] | None = None
    reasoning: Reasoning | None = None

    @property
    def is_stored(self) -> bool:
        """As at OpenAI, unless the request says otherwise."""
        return self.store is not False

    def items(self) -> list[dict[str, Any]]:
        """The input as `input_items` lists it: each item with an id."""
        return [as_listed(item.model_dump(exclude_none=True)) for item in self.input]

    @property
    def format(self) -> Format:
        return (self.text and self.text.format) or Format()

    def for_engine(self, earlier: Sequence[Any] = ()) -> dict[str, Any]:
        """The chat request that asks the same. earlier: the items of the conversation before, without instructions.

        Raises InvalidRequest.
        """
        if len(earlier) + len(self.input) > MESSAGES_AT_MOST:
            raise InvalidRequest(
                f"The conversation has {len(earlier) + len(self.input):,} items with its earlier responses; the limit "
                f"is {MESSAGES_AT_MOST:,}. Start a new one with the messages that matter in 'input'.",
                code="context_length_exceeded",
                param="previous_response_id",
            )
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.instructions}] if self.instructions else []
        messages += chat_messages([*earlier, *self.input])
        choice = None if self.tool_choice is None or not self.tools else self.tool_choice
        request = {
            "messages": messages,
            "max_completion_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "response_format": None if self.format.type == "text" else self.format.for_engine(),
            "tools": [tool.for_engine() for tool in self.tools] if self.tools else None,
            "tool_choice": choice if choice is None or isinstance(choice, str) else choice.for_engine(),
            "parallel_tool_calls": self.parallel_tool_calls if self.tools else None,
            "stream": self.stream or None,
            "stream_options": {"include_usage": True} if self.stream else None,
        }
        return {name: value for name, value in request.items() if value is not None}


@dataclass
class Answer:
    """What is known of the answer so far."""

    request: ResponseCreate
    name: str  # of the model
    stored: bool = False
    text: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)  # function_call items
    has_message: bool = False  # a stream has begun one
    status: Literal["in_progress", "completed", "incomplete", "failed"] = "in_progress"
    usage: dict[str, int] | None = None
    error: dict[str, str] | None = None
    id: str = field(default_factory=lambda: ids.new("resp_"))
    message_id: str = field(default_factory=lambda: ids.new("msg_"))
    created: float = field(default_factory=time.time)
    ended: float = 0.0

    def end(self, finish_reason: str) -> None:
        self.status = "incomplete" if finish_reason == "length" else "completed"
        self.ended = time.time()

    def read(self, completion: dict[str, Any]) -> None:
        """Takes a chat completion that is whole."""
        choice = completion["choices"][0]
        self.text, self.usage = choice["message"]["content"] or "", completion["usage"]
        for call in choice["message"].get("tool_calls") or ():
            self.call(call)
        self.end(choice["finish_reason"])

    def part(self) -> dict[str, Any]:
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}

    def message(self) -> dict[str, Any]:
        ended = self.status in ("completed", "incomplete")
        return {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "status": self.status if ended else "in_progress",
            "content": [self.part()] if ended else [],
        }

    def output(self) -> list[dict[str, Any]]:
        """Its items: text, unless there are calls alone."""
        text = self.text or self.has_message or not self.calls
        return [*([self.message()] if text else []), *self.calls]

    def call(self, call: dict[str, Any]) -> dict[str, Any]:
        """The item of a call that the engine makes."""
        function = call["function"]
        item = {"id": ids.new("fc_"), "type": "function_call", "status": "completed", "call_id": call["id"]}
        self.calls.append(item | {"name": function["name"], "arguments": function.get("arguments") or ""})
        return self.calls[-1]

    def choice(self) -> str | dict[str, Any]:
        asked = self.request.tool_choice
        if asked is None:
            return "auto" if self.request.tools else "none"
        return asked if isinstance(asked, str) else asked.model_dump()

    def body(self) -> dict[str, Any]:
        """OpenAI's response object."""
        request, ended = self.request, self.status in ("completed", "incomplete")
        return {
            "id": self.id,
            "object": "response",
            "created_at": int(self.created),
            "completed_at": int(self.ended) if self.status == "completed" else None,
            "status": self.status,
            "error": self.error,
            "incomplete_details": {"reason": "max_output_tokens"} if self.status == "incomplete" else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "metadata": request.metadata or {},
            "model": self.name,
            "output": self.output() if ended else [],
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": request.previous_response_id,
            "reasoning": request.reasoning.model_dump(exclude={"generate_summary"}) if request.reasoning else None,
            "store": self.stored,
            "temperature": 1.0 if request.temperature is None else request.temperature,
            "text": {"format": request.format.model_dump(by_alias=True, exclude_none=True)},
            "tool_choice": self.choice(),
            "tools": [tool.body() for tool in request.tools or []],
            "top_p": 1.0 if request.top_p is None else request.top_p,
            "truncation": "disabled",
            "usage": usage_object(self.usage) if self.usage else None,
        }


def usage_object(usage: dict[str, int]) -> dict[str, Any]:
    """The engine counts no cached and no reasoning tokens apart."""
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total_tokens"],
    }


def as_listed(item: dict[str, Any]) -> dict[str, Any]:
    prefix: ids.Prefix = "msg_" if item["type"] == "message" else "fc_"
    return {"id": ids.new(prefix), "status": "completed", **item}


def items_of(rows: Sequence[StoredResponse]) -> list[dict[str, Any]]:
    """What the last of them was asked with: the input and output of those before, and its own input."""
    listed: list[dict[str, Any]] = []
    for row in rows:
        listed += row.input
        if row is not rows[-1]:
            listed += row.body["output"]
    return listed


def read_back(items: list[dict[str, Any]]) -> list[Any]:
    return ITEMS.validate_python(items)


def deleted_object(response_id: str) -> dict[str, Any]:
    return {"id": response_id, "object": "response", "deleted": True}


def refusal(body: dict[str, Any]) -> dict[str, Any]:
    """The engine's error, with the parameter as our caller knows it."""
    error = dict(body["error"])
    param = str(error.get("param") or "").partition(".")[0].partition("[")[0]
    return {"error": {**error, "param": PARAMS.get(param, error.get("param"))}}
