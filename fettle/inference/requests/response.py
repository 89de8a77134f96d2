"""OpenAI's Responses API in its text form, as the chat request that asks the same."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, get_args

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
TOP_LOGPROBS_AT_MOST = 20
LOGPROBS: Final = "message.output_text.logprobs"
Included = Literal["message.output_text.logprobs", "reasoning.encrypted_content"]  # open models encrypt no reasoning
INCLUDED = get_args(Included)
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
    logprobs: Annotated[list[Any], Field(max_length=ITEMS_AT_MOST)] | None = None


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
    include: Annotated[list[Included], Field(max_length=len(INCLUDED))] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=TOP_LOGPROBS_AT_MOST)] | None = None

    @property
    def names_logprobs(self) -> bool:
        return LOGPROBS in (self.include or []) or bool(self.top_logprobs)

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
            "logprobs": self.names_logprobs or None,
            "top_logprobs": self.top_logprobs if self.names_logprobs else None,
            "stream": self.stream or None,
            "stream_options": {"include_usage": True} if self.stream else None,
        }
        return {name: value for name, value in request.items() if value is not None}


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


def messages_of(rows: Sequence[StoredResponse]) -> list[dict[str, Any]]:
    """The chat messages that the last of a conversation was asked with, its instructions first."""
    instructions = rows[-1].body["instructions"]
    system = [{"role": "system", "content": instructions}] if instructions else []
    return [*system, *chat_messages(read_back(items_of(rows)))]


def answer_of(body: dict[str, Any]) -> dict[str, Any]:
    """The message of the assistant that a response is; empty where it has none."""
    messages = chat_messages(read_back(body["output"]))
    return messages[-1] if messages else {}


def deleted_object(response_id: str) -> dict[str, Any]:
    return {"id": response_id, "object": "response", "deleted": True}


def refusal(body: dict[str, Any]) -> dict[str, Any]:
    """The engine's error, with the parameter as our caller knows it."""
    error = dict(body["error"])
    param = str(error.get("param") or "").partition(".")[0].partition("[")[0]
    return {"error": {**error, "param": PARAMS.get(param, error.get("param"))}}
