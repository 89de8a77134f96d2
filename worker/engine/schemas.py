"""Request bodies, as OpenAI and vLLM name them. What a schema does not know is refused: never ignored."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fettle.errors import InvalidRequest

MAX_CHOICES = 16
MAX_STOPS = 4
MAX_STOP_LENGTH = 256  # characters; every stop string is searched for at every token
INT64 = 2**63


def encodable(text: str) -> str:
    """What no tokenizer takes: U+0000 is the renderer's own mark, a lone surrogate is no character."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("it may hold neither U+0000 nor half of a surrogate pair")
    return text


def as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(encodable)]
Stop = Annotated[Text, Field(min_length=1, max_length=MAX_STOP_LENGTH)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Message(Strict):
    role: Literal["system", "user", "assistant"]
    content: Text


class StreamOptions(Strict):
    include_usage: bool = False


class ChatRequest(Strict):
    """OpenAI's chat completion request, as far as the engine honours it. null stands for the default."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    stop: Annotated[list[Stop], BeforeValidator(as_list), Field(max_length=MAX_STOPS)] = []
    seed: int | None = Field(None, ge=-INT64, lt=INT64)
    temperature: float = Field(1.0, ge=0, le=2, allow_inf_nan=False)
    top_p: float = Field(1.0, gt=0, le=1, allow_inf_nan=False)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def null_is_the_default(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if value is not None or name not in cls.model_fields}

    @model_validator(mode="after")
    def together(self) -> "ChatRequest":
        if self.stream_options and not self.stream:
            raise InvalidRequest("'stream_options' goes with 'stream': true only.", param="stream_options")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise InvalidRequest(
                f"'max_tokens' ({self.max_tokens}) is the old name of 'max_completion_tokens' "
                f"({self.max_completion_tokens}): give one of them.",
                param="max_tokens",
            )
        return self

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class LoadAdapter(Strict):
    """vLLM's, with the base model by name; `lora_path` is a prefix in storage."""

    lora_name: str = Field(min_length=1)
    lora_path: str = Field(min_length=1)
    base_model_name: str


class UnloadAdapter(Strict):
    lora_name: str
