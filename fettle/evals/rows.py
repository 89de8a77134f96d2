"""The rows of a run, and what a model is asked for each."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from fettle.errors import FettleError, InvalidRequest
from fettle.inference.requests import response
from fettle.rewards import Sample, templates
from models import StoredCompletion, StoredResponse

ROWS_AT_MOST = 10_000
BYTES_AT_MOST = 64 * 2**20  # of a file

STORED = "stored_completions"  # a source's type
RESPONSES = "responses"  # another's
STORED_MESSAGES = "item.input"  # where the item of a stored answer has what was asked

Row = dict[str, Any]


class BadRow(Exception):
    """A row that cannot be used; the run fails with these words."""


def rows(source: Mapping[str, Any], path: Path | None, row_bytes: int) -> Iterator[Row]:
    """{"item", "sample"} each. path: of the file, where the source is one. Raises BadRow."""
    for number, row in enumerate(parsed(path, row_bytes) if path else source["content"]):
        if number >= ROWS_AT_MOST:
            raise BadRow(f"The source has more than {ROWS_AT_MOST:,} rows. Split it.")
        if not isinstance(row, dict) or not isinstance(row.get("item"), dict):
            raise BadRow(f"Row {number + 1} has no object 'item'. Write each row as {{\"item\": {{…}}}}.")
        if not isinstance(row.get("sample", {}), dict):
            raise BadRow(f"'sample' of row {number + 1} is not an object.")
        yield {"item": row["item"], "sample": row.get("sample", {})}


def of_completion(completion_id: str, stored: StoredCompletion | None) -> Row:
    """The item has what was asked and what was answered. None: it is gone, and the row says so in its `error`."""
    if stored is None:
        message = f"The stored completion {completion_id!r} was deleted, or it expired, before the run read it."
        error = {"code": "completion_not_found", "message": message}
        return {"item": {"id": completion_id}, "sample": {}, "error": error}
    choice = stored.body["choices"][0]
    said = choice["message"]
    sample = {"output_text": said.get("content") or "", "output_tools": said.get("tool_calls") or []}
    asked = {"id": stored.id, "model": stored.model, "metadata": stored.labels or {}, "input": stored.asked["messages"]}
    answered = {"ended": choice.get("finish_reason") or "stop", "usage": stored.body.get("usage") or {}}
    return {"item": {**asked, **sample}, "sample": sample, "answered": answered}


def of_response(response_id: str, found: Sequence[StoredResponse] | FettleError) -> Row:
    """The last of a conversation, oldest first. An error: one of it is gone, and the row says so."""
    if isinstance(found, FettleError):
        error = {"code": found.code or "response_not_found", "message": found.message}
        return {"item": {"id": response_id}, "sample": {}, "error": error}
    body = found[-1].body
    said = response.answer_of(body)
    sample = {"output_text": said.get("content") or "", "output_tools": said.get("tool_calls") or []}
    asked = {"id": response_id, "model": body["model"], "metadata": body["metadata"]}
    asked["input"] = response.messages_of(found)
    ended = "length" if body["status"] == "incomplete" else "tool_calls" if sample["output_tools"] else "stop"
    answered = {"ended": ended, "usage": body["usage"] or {}}
    return {"item": {**asked, **sample}, "sample": sample, "answered": answered}


def parsed(path: Path, row_bytes: int) -> Iterator[Any]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(row_bytes + 1):
            number += 1
            if len(line) > row_bytes:
                raise BadRow(f"Line {number} is longer than {row_bytes:,} bytes. Shorten it.")
            if line.strip():
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise BadRow(f"Line {number} is not JSON: {error}.") from error


def check_messages(asked: Mapping[str, Any]) -> None:
    """Raises InvalidRequest for a template that no row can fill."""
    where = "data_source.input_messages"
    if asked["type"] == "item_reference":
        if not templates.PATH.match(asked["item_reference"]):
            raise InvalidRequest(
                f"Invalid value for 'item_reference': {asked['item_reference']!r}. Use a path such as 'item.messages'.",
                param=f"{where}.item_reference",
            )
        return
    for number, message in enumerate(asked["template"]):
        for text in texts(message["content"]):
            try:
                templates.check(text)
            except templates.BadTemplate as error:
                raise InvalidRequest(
                    f"Invalid template: {error}.", param=f"{where}.template[{number}].content"
                ) from error


def messages(asked: Mapping[str, Any], item: dict[str, Any]) -> list[dict[str, Any]]:
    """Raises templates.Unfilled for an item that lacks what the template names."""
    sample = Sample("", "", item)
    if asked["type"] == "item_reference":
        found = templates.find(asked["item_reference"], sample)
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise templates.Unfilled("invalid_variable_error", f"{asked['item_reference']} is not a list of messages")
        return found
    return [
        {
            "role": message["role"],
            "content": "".join(templates.fill(text, sample) for text in texts(message["content"])),
        }
        for message in asked["template"]
    ]


def texts(content: Any) -> list[str]:
    parts = content if isinstance(content, list) else [content]
    return [part if isinstance(part, str) else part["text"] for part in parts]
