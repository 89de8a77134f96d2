"""Prompts of a comparison, taken out of a dataset file. Runs outside of the event loop's process."""

import hashlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from fettle.datasets.formats import reading
from fettle.errors import InvalidRequest

Messages = list[dict[str, Any]]

AT_MOST = 1000  # of a comparison
RESPONSES_AT_MOST = 9  # to a prompt: one number key each
CHARACTERS_AT_MOST = 100_000  # of one prompt
TOTAL_CHARACTERS_AT_MOST = 4_000_000  # of all prompts
TOKENS_AT_MOST = 2_000_000  # that a comparison may generate


def read(argument: Any, content: bytes) -> bytes:
    """Messages of the file's first prompts; of rows with an answer, the messages before it."""
    found = islice(reading.conversations(Path(argument["path"])), argument["limit"])
    return orjson.dumps(check([before_answer(conversation.messages) for _, conversation in found]))


def check(prompts: list[Messages]) -> list[Messages]:
    """Raises InvalidRequest."""
    total = 0
    for number, messages in enumerate(prompts, 1):
        if not messages or messages[-1]["role"] == "assistant":
            raise InvalidRequest(
                f"Prompt {number} ends with an answer of the assistant. End it with the message to answer.",
                param="prompts",
            )
        characters = size(messages)
        if characters > CHARACTERS_AT_MOST:
            raise InvalidRequest(
                f"Prompt {number} has {characters:,} characters; the limit is {CHARACTERS_AT_MOST:,}.", param="prompts"
            )
        total += characters
    check_total(len(prompts), total)
    return prompts


def size(messages: Sequence[dict[str, Any]]) -> int:
    """Characters."""
    return sum(len(str(message.get("content") or "")) for message in messages)


def digest(prompt: Sequence[dict[str, Any]], responses: Sequence[str]) -> str:
    """The same for the same prompt and the same responses, in whatever order they come."""
    messages = [{"role": message["role"], "content": message.get("content")} for message in prompt]
    return hashlib.sha256(orjson.dumps([messages, sorted(responses)])).hexdigest()


def check_total(count: int, total: int) -> None:
    """Raises InvalidRequest."""
    if count > AT_MOST:
        raise InvalidRequest(
            f"The comparison would have {count:,} prompts; the limit is {AT_MOST:,}. Send fewer prompts.",
            param="prompts",
        )
    if total > TOTAL_CHARACTERS_AT_MOST:
        raise InvalidRequest(
            f"The prompts have {total:,} characters; the limit is {TOTAL_CHARACTERS_AT_MOST:,}. Send fewer prompts.",
            param="prompts",
        )


def check_tokens(count: int, n: int, each: int) -> None:
    """Raises InvalidRequest where the responses to so many prompts may come to too many tokens."""
    if (tokens := count * n * each) > TOKENS_AT_MOST:
        raise InvalidRequest(
            f"{count:,} prompts with {n} responses of up to {each:,} tokens come to {tokens:,} tokens; the limit is "
            f"{TOKENS_AT_MOST:,}. Send fewer prompts, or lower one of the others.",
            param="prompts",
        )


def before_answer(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    asked = messages[:-1] if messages and messages[-1]["role"] == "assistant" else messages
    return [{name: value for name, value in message.items() if name != "weight"} for message in asked]
