"""What an engine counted."""

from collections.abc import Mapping
from typing import Any


def counted(usage: Mapping[str, Any]) -> dict[str, int]:
    """Of chats and completions, or of Responses, which name the same numbers differently."""
    return {
        "prompt_tokens": usage.get("prompt_tokens", usage.get("input_tokens", 0)),
        "completion_tokens": usage.get("completion_tokens", usage.get("output_tokens", 0)),
        "total_tokens": usage.get("total_tokens", 0),
        "cached_tokens": cached_tokens(usage),
    }


def cached_tokens(usage: Mapping[str, Any]) -> int:
    """Tokens of the prompt that it had read before. 0 where it does not say: a vLLM needs
    --enable-prompt-tokens-details."""
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    return int(details.get("cached_tokens") or 0)
