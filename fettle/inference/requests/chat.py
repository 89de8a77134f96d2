"""What a chat request may hold besides the question: all else is the engine's to honour or to refuse."""

from typing import Any, Literal

from pydantic import ConfigDict

from fettle.errors import InvalidRequest
from fettle.schemas.labels import Labels
from fettle.schemas.strict import Strict

SALT = "cache_salt"  # vLLM's: requests with the same one share what an engine has read
# Asks for nothing: some clients send it with every request
NEUTRAL: dict[str, Any] = {"modalities": ["text"], "tools": [], "functions": []}
# Of OpenAI's parameters, those that not every engine knows: with null they were left out
LEFT_OUT_BY_NULL = frozenset(
    {
        *("audio", "function_call", "functions", "modalities", "moderation", "parallel_tool_calls", "prediction"),
        *("prompt_cache_options", "prompt_cache_retention", "reasoning_effort", "tool_choice", "tools"),
        *("verbosity", "web_search_options"),
    }
)


class Unneeded(Strict):
    """Parameters that change nothing about an answer: checked, then left out."""

    metadata: Labels | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    service_tier: Literal["auto", "default"] | None = None
    store: bool | None = None
    user: str | None = None


class ChatRequest(Unneeded):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(extra="allow")
    model: str

    def for_engine(self) -> dict[str, Any]:
        """The rest of the body, as it came."""
        return without(NEUTRAL, self.model_dump(exclude=set(Unneeded.model_fields)))


def without(neutral: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """The body less what asks for nothing. `1` is not `true`.

    Raises InvalidRequest for what the client of the engine sets itself.
    """
    if SALT in body:
        raise InvalidRequest(
            f"Unknown parameter: {SALT!r}. The server sets it, so that projects share nothing. Remove it.",
            code="unknown_parameter",
            param=SALT,
        )

    def asks(name: str, value: object) -> bool:
        if value is None and name in LEFT_OUT_BY_NULL:
            return False
        return name not in neutral or type(value) is not type(neutral[name]) or value != neutral[name]

    return {name: value for name, value in body.items() if asks(name, value)}
