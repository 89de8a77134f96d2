"""What the methods share whose policy writes completions of its own."""

from typing import Annotated, Any

from pydantic import Field

from fettle.errors import InvalidRequest
from fettle.methods.common import Auto, Given, Hyperparameters, sequence_length

MAX_COMPLETION_TOKENS = 512


class SamplingHyperparameters(Hyperparameters):
    """As the request has them.

    max_completion_tokens auto: 512, at most half of max_seq_length. A completion that reaches it is cut off.
    temperature 1: the policy samples from its own distribution, which is the one that the gradient is of.
    eval_samples: completions of each validation prompt; one is greedy.
    """

    max_completion_tokens: Auto | Annotated[int, Field(ge=1, le=32_768)] = "auto"
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    eval_samples: Auto | Annotated[int, Field(ge=1, le=16)] = "auto"


def resolve_sampling(asked: SamplingHyperparameters, given: Given, where: str) -> dict[str, Any]:
    """Raises InvalidRequest. where: of the hyperparameters in a request."""
    return {
        "max_completion_tokens": completion_tokens(
            asked.max_completion_tokens, sequence_length(asked, given, where), where
        ),
        "temperature": asked.temperature,
        "eval_samples": 1 if asked.eval_samples == "auto" else asked.eval_samples,
    }


def completion_tokens(asked: Auto | int, length: int, where: str) -> int:
    """auto: 512, at most half of max_seq_length. Raises InvalidRequest where no room is left for a prompt."""
    tokens = min(MAX_COMPLETION_TOKENS, length // 2) if asked == "auto" else asked
    if tokens >= length:
        raise InvalidRequest(
            f"max_completion_tokens {tokens} leaves no room for a prompt in max_seq_length {length}: ask for less.",
            param=f"{where}.max_completion_tokens",
        )
    return tokens
