"""Dataset files that a test starts from."""

import json
from pathlib import Path
from typing import Any

from fettle.datasets.formats.validation import Report, validate

MAX_ROW_BYTES = 10_000


def message(role: Any, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


USER, ASSISTANT = message("user", "How much is 2 + 3?"), message("assistant", "5")


def line(row: Any) -> bytes:
    return json.dumps(row).encode() + b"\n"


def chat(*messages: Any, **more: Any) -> bytes:
    """The line of a row with these messages."""
    return line({"messages": list(messages), **more})


GOOD = chat(USER, ASSISTANT)


def report(folder: Path, content: bytes, max_row_bytes: int = MAX_ROW_BYTES) -> Report:
    file = folder / "data.jsonl"
    file.write_bytes(content)
    return validate(file, max_row_bytes=max_row_bytes)


def problems(folder: Path, content: bytes) -> list[tuple[int, str, str]]:
    """(line, path, code) of each."""
    return [(problem.line, problem.path, problem.code) for problem in report(folder, content).errors]
