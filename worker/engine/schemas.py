"""Request bodies, as OpenAI and vLLM name them. What a schema does not know is refused: never ignored."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fettle.errors import InvalidRequest
from fettle.schemas.response_format import ResponseFormat, schema_of
from fettle.schemas.strict import Strict
from worker.engine.tools import legacy
from worker.engine.tools.schemas import (
    CallId,
    Function,
    FunctionChoice,
    Functions,
    NamedTool,
    ToolCalls,
    ToolChoice,
    Tools,
    check_choice,
    check_history,
    check_names,
    for_template,
)

MAX_CHOICES = 16
MAX_STOPS = 4
MAX_STOP_LENGTH = 256  # characters; every stop string is searched for at every token
MAX_TOP_LOGPROBS = 20
MAX_BIASES = 1024
MAX_CONVERSATIONS = 256
MAX_SALT_LENGTH = 1024
INT64 = 2**63
# Keys of an assistant's message in an answer, which clients send back with the history
EMPTY_FIELDS = (
    *("name", "refusal", "annotations", "audio", "function_call", "tool_calls", "tool_call_id", "reasoning_content"),
)


def encodable(text: str) -> str:
    """What no tokenizer takes: U+0000 is the renderer's own mark, a lone surrogate is no character."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("it must not contain U+0000 or an unpaired surrogate")
    return text


def as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def as_text(content: object) -> object:
    """OpenAI's list of parts, where all of them are text."""
    if not isinstance(content, list) or not content:
        return content
    parts = [part for part in content if isinstance(part, dict) and part.keys() == {"type", "text"}]
    if len(parts) < len(content) or any(p["type"] != "text" or not isinstance(p["text"], str) for p in parts):
        raise ValueError("only text is supported: use a string, or parts of the form {'type': 'text', 'text': …}")
    return "".join(part["text"] for part in parts)


def as_ids(biases: object) -> object:
    """JSON has no integer keys."""
    if not isinstance(biases, dict):
        return biases
    return {int(key) if isinstance(key, str) and key.isdecimal() else key: value for key, value in biases.items()}


Text = Annotated[str, AfterValidator(encodable)]
Stop = Annotated[Text, Field(min_length=1, max_length=MAX_STOP_LENGTH)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
TokenId = Annotated[int, Field(ge=0)]


class Message(Strict):
    """A message of any role. The empty fields of an earlier answer may come back with it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[Text | None, BeforeValidator(as_text)]
    tool_calls: ToolCalls | None = None
    tool_call_id: CallId | None = None

    @model_validator(mode="before")
    @classmethod
    def as_it_was_answered(cls, value: Any) -> Any:
        """Without the fields that hold nothing. Beside calls there may be no content."""
        if not isinstance(value, dict):
            return value
        empty = {name for name in EMPTY_FIELDS if name in value and value[name] in (None, [])}
        dropped = empty | ({"name"} if value.get("role") == "tool" else set())  # its call names the function
        kept = {name: each for name, each in value.items() if name not in dropped}
        return {"content": None, **kept} if kept.get("tool_calls") else kept

    @model_validator(mode="after")
    def fields_of_its_role(self) -> Self:
        if self.content is None and not self.tool_calls:
            raise ValueError("use a string as 'content'")
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a message of role '{self.role}' cannot have 'tool_calls'")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise ValueError("'tool_call_id' belongs to messages of role 'tool', which must have it")
        return self

    def for_template(self, index: int = 0) -> dict[str, Any]:
        """`developer` is the newer name of `system`; templates know the old one. Raises InvalidRequest."""
        made: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role}
        made["content"] = self.content or ""
        if self.tool_calls:
            made["tool_calls"] = for_template(self.tool_calls, f"messages[{index}]")
        if self.tool_call_id is not None:
            made["tool_call_id"] = self.tool_call_id
        return made


class StreamOptions(Strict):
    include_usage: bool = False
    include_obfuscation: bool = False  # chunks are never padded


class Generated(Strict):
    """What both generating routes take. null stands for the default."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    stop: Annotated[list[Stop], BeforeValidator(as_list), Field(max_length=MAX_STOPS)] = Field(default_factory=list)
    seed: int | None = Field(None, ge=-INT64, lt=INT64)
    temperature: float = Field(1.0, ge=0, le=2, allow_inf_nan=False)
    top_p: float = Field(1.0, gt=0, le=1, allow_inf_nan=False)
    max_tokens: int | None = Field(None, ge=1)
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    logit_bias: Annotated[dict[TokenId, Bias], BeforeValidator(as_ids), Field(max_length=MAX_BIASES)] = Field(
        default_factory=dict
    )
    user: str | None = None  # says who asks; changes no answer
    # vLLM's: requests with the same one share the beginnings of prompts; in vLLM those without one share them too
    cache_salt: str | None = Field(None, min_length=1, max_length=MAX_SALT_LENGTH)

    @model_validator(mode="after")
    def usage_goes_with_a_stream(self) -> Self:
        if self.stream_options and not self.stream:
            raise InvalidRequest("'stream_options' requires 'stream': true.", param="stream_options")
        return self

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens

    @property
    def drawn(self) -> int:
        """How many completions are written to each prompt; `n` of them are handed out."""
        return self.n

    @property
    def likeliest(self) -> int | None:
        """How many of the likeliest tokens to name beside each chosen one; None: no logprobs."""
        return None

    @property
    def json_schema(self) -> dict[str, Any] | None:
        """What the answer is bound to."""
        return None


class ChatRequest(Generated):
    """OpenAI's chat completion request, as far as the engine honours it."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=MAX_TOP_LOGPROBS)
    response_format: ResponseFormat | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool = True
    functions: Functions | None = None  # the older form of `tools`
    function_call: Literal["none", "auto"] | FunctionChoice | None = None
    # As in /v1/responses: the starter and most open models have no such setting
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None

    @model_validator(mode="before")
    @classmethod
    def newer_messages(cls, body: Any) -> Any:
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
            return body
        return {**body, "messages": legacy.mapped_messages(body["messages"])}

    @model_validator(mode="after")
    def tools_fit(self) -> Self:
        if self.old_form:
            if self.tools is not None or self.tool_choice is not None:
                raise InvalidRequest(
                    "'functions' and 'function_call' are the old names of 'tools' and 'tool_choice'. Send one form.",
                    param="functions",
                )
            self.tools = legacy.tools(self.functions)
            self.tool_choice = legacy.choice(self.function_call)
            self.parallel_tool_calls = False
        check_names(self.offered)
        check_choice(self.tool_choice, self.offered)
        history = [(m.role, [call.id for call in m.tool_calls or []], m.tool_call_id) for m in self.messages]
        check_history(history)
        return self

    @property
    def old_form(self) -> bool:
        return self.functions is not None or self.function_call is not None

    @property
    def offered(self) -> list[Function]:
        return [tool.function for tool in self.tools or []]

    @property
    def callable(self) -> list[Function]:
        """What the model may call."""
        if isinstance(self.tool_choice, NamedTool):
            named = self.tool_choice.function.name
            return [function for function in self.offered if function.name == named]
        return [] if self.tool_choice == "none" else self.offered

    @property
    def named(self) -> str | None:
        """The function that the model must call."""
        return self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None

    @model_validator(mode="after")
    def together(self) -> Self:
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise InvalidRequest(
                f"'max_tokens' ({self.max_tokens}) is the old name of 'max_completion_tokens' "
                f"({self.max_completion_tokens}). Send only one of them.",
                param="max_tokens",
            )
        if self.top_logprobs and not self.logprobs:
            raise InvalidRequest("'top_logprobs' requires 'logprobs': true.", param="top_logprobs")
        return self

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def likeliest(self) -> int | None:
        return self.top_logprobs if self.logprobs else None

    @property
    def json_schema(self) -> dict[str, Any] | None:
        return schema_of(self.response_format)


class PoolingRequest(Strict):
    """vLLM's, with many conversations in the place of one; what is wrong with one of them costs no other."""

    model: str
    conversations: Annotated[list[list[dict[str, Any]]], Field(min_length=1, max_length=MAX_CONVERSATIONS)]


class LoadAdapter(Strict):
    """vLLM's, with the base model by name; `lora_path` is a prefix in storage."""

    lora_name: str = Field(min_length=1)
    lora_path: str = Field(min_length=1)
    base_model_name: str


class UnloadAdapter(Strict):
    lora_name: str
