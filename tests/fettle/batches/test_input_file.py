"""What is wrong with a batch's input file is said line by line."""

import json
from pathlib import Path
from typing import Any

import pytest

from fettle.batches import input_file
from tests.api.tenants import request

CHAT = "/v1/chat/completions"


def check(folder: Path, *rows: Any) -> dict[str, Any]:
    path = folder / "requests.jsonl"
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows))
    return input_file.check(path, CHAT, 1 << 20)


@pytest.mark.parametrize(
    ("row", "code", "param"),
    [
        (b"no json", "invalid_json", None),
        (b'{"custom_id": "b", "custom_id": "c"}', "invalid_json", "custom_id"),
        (b"[1]", "invalid_json", None),
        (b'{"custom_id": "b", "body": {"x": NaN}}', "invalid_json", None),
        (b'{"custom_id": "' + b"x" * (1 << 20) + b'"}', "invalid_value", None),
        (request("a"), "duplicate_custom_id", "custom_id"),
        ({**request("b"), "custom_id": 7}, "invalid_value", "custom_id"),
        ({**request("b"), "method": "GET"}, "invalid_value", "method"),
        ({**request("b"), "colour": "red"}, "unknown_parameter", "colour"),
        ({**request("b"), "body": []}, "invalid_value", "body"),
        (request("b", "/v1/completions"), "mismatched_url", "url"),
        ({"custom_id": "b", "method": "POST", "url": CHAT}, "missing_required_parameter", "body"),
        (request("b", messages=[]), "missing_required_parameter", "model"),
        (request("b", model="starter", messages=[], stream=True), "invalid_value", "stream"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, row: Any, code: str, param: str | None) -> None:
    found = check(tmp_path, request("a"), b"", row)
    (error,) = found["errors"]
    assert (error["line"], error["code"], error["param"]) == (3, code, param)
    assert error["message"]


def test_a_good_file_has_a_count_and_its_models(tmp_path: Path) -> None:
    other = request("c", model="other", messages=[])
    found = check(tmp_path, request("a"), request("b"), b"", other)
    assert found == {"total": 3, "errors": [], "models": {"starter": 1, "other": 4}}


def test_bad_lines_are_listed_at_once_but_not_without_end(tmp_path: Path) -> None:
    found = check(tmp_path, *[b"{}"] * 70)
    assert [error["line"] for error in found["errors"]] == list(range(1, input_file.ERRORS_LISTED + 1))


def test_an_empty_file_and_one_with_too_many_requests_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [error["code"] for error in check(tmp_path, b"\n")["errors"]] == ["empty_file"]
    monkeypatch.setattr(input_file, "REQUESTS_AT_MOST", 2)
    (error,) = check(tmp_path, request("a"), request("b"), request("c"))["errors"]
    assert (error["code"], error["line"]) == ("too_many_requests", 3)


@pytest.mark.parametrize("changed", [{"store": True}, {"previous_response_id": "resp_x"}])
def test_a_batch_stores_no_responses_and_continues_none(tmp_path: Path, changed: dict[str, Any]) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(json.dumps(request("a", "/v1/responses", model="starter", input="hi", **changed)).encode())
    (error,) = input_file.check(path, "/v1/responses", 1 << 20)["errors"]
    assert error["param"] == next(iter(changed))
