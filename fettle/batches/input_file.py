"""The file of a batch's requests. `python -m fettle.batches.input_file FILE …` checks one.

The check runs in a process of its own, with limits of time and memory: what tenants write is not parsed elsewhere
before it has passed.
"""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from fettle.batches import endpoints
from fettle.datasets.formats.checker import NO_MEMORY, limit_memory
from fettle.errors import FettleError, InvalidRequest
from fettle.isolation import json_body

REQUESTS_AT_MOST = 50_000
BYTES_AT_MOST = 200 << 20
ERRORS_LISTED = 50
MODELS_AT_MOST = 20
ID_AT_MOST = 512  # characters of a custom_id
FIELDS = ("custom_id", "method", "url", "body")

Line = dict[str, Any]


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Those that are not empty, with their numbers from 1."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def check(path: Path, endpoint: str, max_row_bytes: int) -> Line:
    """total, the first errors, and the models with the line of their first request."""
    seen: set[str] = set()
    models: dict[str, int] = {}
    errors: list[Line] = []
    total = 0
    for number, line in lines(path):
        total += 1
        if total > REQUESTS_AT_MOST:
            errors.append(
                problem(number, f"The file has more than {REQUESTS_AT_MOST:,} requests. Split it.", "too_many_requests")
            )
            break
        try:
            model = check_line(line, endpoint, max_row_bytes, seen)
        except FettleError as error:
            errors.append(problem(number, error.message, error.code, error.param))
            if len(errors) == ERRORS_LISTED:
                break
            continue
        models.setdefault(model, number)
        if len(models) > MODELS_AT_MOST:
            errors.append(problem(number, f"The file names more than {MODELS_AT_MOST} models. Split it.", param="body"))
            break
    if total == 0:
        errors.append(problem(None, "The file has no requests. Write one JSON object on each line.", "empty_file"))
    return {"total": total, "errors": errors, "models": models}


def problem(line: int | None, message: str, code: str = "invalid_value", param: str | None = None) -> Line:
    return {"code": code, "line": line, "message": message, "param": param}


def check_line(line: bytes, endpoint: str, max_row_bytes: int, seen: set[str]) -> str:
    """The model. Raises FettleError."""
    if len(line) > max_row_bytes:
        raise InvalidRequest(f"The line has {len(line):,} bytes, but the limit is {max_row_bytes:,}.")
    json_body.examine(line)
    row: Line = orjson.loads(line)
    if unknown := sorted(row.keys() - set(FIELDS)):
        raise InvalidRequest(
            f"Unknown field: {unknown[0]!r}. A request has {', '.join(FIELDS)}.",
            code="unknown_parameter",
            param=unknown[0],
        )
    for name in FIELDS:
        if name not in row:
            raise InvalidRequest(f"Missing required field: {name!r}.", code="missing_required_parameter", param=name)
    custom_id = row["custom_id"]
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= ID_AT_MOST:
        raise InvalidRequest(f"'custom_id' must be a text of 1 to {ID_AT_MOST} characters.", param="custom_id")
    if custom_id in seen:
        raise InvalidRequest(
            f"The custom_id {custom_id!r} is used twice. Each request needs one of its own.",
            code="duplicate_custom_id",
            param="custom_id",
        )
    seen.add(custom_id)
    if row["method"] != "POST":
        raise InvalidRequest(f"'method' must be 'POST', not {row['method']!r}.", param="method")
    if row["url"] != endpoint:
        raise InvalidRequest(
            f"'url' is {row['url']!r}, but the batch is for {endpoint!r}. Use the batch's endpoint in each request.",
            code="mismatched_url",
            param="url",
        )
    if not isinstance(row["body"], dict):
        raise InvalidRequest("'body' must be a JSON object.", param="body")
    return endpoints.read(endpoint, row["body"]).model


def main(path: Path, endpoint: str, max_row_bytes: int, memory: int, seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)  # the kernel ends us
    if sys.platform == "linux":
        limit_memory(memory)
    try:
        found = check(path, endpoint, max_row_bytes)
    except (MemoryError, RecursionError):
        sys.exit(NO_MEMORY)
    sys.stdout.buffer.write(orjson.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
