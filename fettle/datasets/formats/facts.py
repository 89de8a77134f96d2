"""What the advisor reads of a dataset: how many of its completions show their reasoning."""

from itertools import islice
from pathlib import Path
from typing import Any

from fettle.datasets.formats import reading
from fettle.datasets.formats.rows import to_conversation

MAX_ROWS = 2000
REASONED = ("</think>", "</reasoning>", "</thought>")


def look(path: Path) -> dict[str, Any]:
    """Of the first rows: how many were read, and how many have a completion with its reasoning."""
    seen = reasoned = 0
    with path.open("rb") as file:
        for _, row, findings in islice(reading.read(file)[1], MAX_ROWS):
            if row is None or findings:
                break  # the beginning of a file may end within a record
            seen += 1
            reasoned += shows_reasoning(to_conversation(row).messages)
    return {"rows": seen, "reasoned": reasoned}


def shows_reasoning(messages: list[dict[str, Any]]) -> bool:
    for message in messages:
        if message.get("role") == "assistant":
            content = message.get("content")
            if isinstance(content, str) and any(tag in content for tag in REASONED):
                return True
    return False
