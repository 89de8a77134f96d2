"""Prompts of a comparison, taken out of a dataset file. Runs outside of the event loop's process."""

from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from fettle.datasets.formats import reading

AT_MOST = 1000  # of a comparison
CHARACTERS_AT_MOST = 100_000  # of one prompt


def read(argument: Any, content: bytes) -> bytes:
    """Messages of the file's first prompts; of rows with an answer, the messages before it."""
    found = islice(reading.conversations(Path(argument["path"])), argument["limit"])
    return orjson.dumps([before_answer(conversation.messages) for _, conversation in found])


def before_answer(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    asked = messages[:-1] if messages and messages[-1]["role"] == "assistant" else messages
    return [{name: value for name, value in message.items() if name != "weight"} for message in asked]
