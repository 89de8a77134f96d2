"""The body of OpenAI's older, raw route, as far as the engine honours it."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from fettle.errors import InvalidRequest
from worker.engine.schemas import MAX_CHOICES, Generated, Text, TokenId

MAX_PROMPTS = 64
MAX_ROWS = 256  # of one request: prompts times the completions of each


def as_prompts(value: object) -> object:
    """One prompt, a text or token ids, is a list of one."""
    one = isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(i, int) for i in value))
    return [value] if one else value


Prompt = Annotated[Text, Field(min_length=1)] | Annotated[list[TokenId], Field(min_length=1)]


class CompletionRequest(Generated):
    """OpenAI's older, raw request: a prompt goes in as it is, control tokens and all. Several are answered together."""

    prompt: Annotated[list[Prompt], BeforeValidator(as_prompts), Field(min_length=1, max_length=MAX_PROMPTS)]
    logprobs: int | None = Field(None, ge=0, le=5)
    echo: bool = False
    best_of: int | None = Field(None, ge=1, le=MAX_CHOICES)

    @model_validator(mode="after")
    def choices_fit(self) -> Self:
        if self.best_of is not None and self.best_of < self.n:
            raise InvalidRequest(
                f"'best_of' ({self.best_of}) is how many completions the 'n' ({self.n}) best are chosen "
                "from. Raise it, or leave it out.",
                param="best_of",
            )
        if self.drawn > self.n and self.stream:
            raise InvalidRequest(
                "'best_of' chooses once all completions are written, so it cannot be streamed. Remove 'stream'.",
                param="best_of",
            )
        if self.echo and self.logprobs is not None:
            raise InvalidRequest("The engine has no logprobs of a prompt. Remove 'echo' or 'logprobs'.", param="echo")
        if (rows := len(self.prompt) * self.drawn) > MAX_ROWS:
            raise InvalidRequest(
                f"{len(self.prompt)} prompts with {self.drawn} completions each make {rows}. A request may "
                f"have up to {MAX_ROWS}. Send fewer prompts.",
                param="prompt",
            )
        return self

    @property
    def drawn(self) -> int:
        return self.best_of or self.n

    @property
    def likeliest(self) -> int | None:
        return self.logprobs
