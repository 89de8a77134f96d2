"""A request's JSON body: as strict as the rows of a dataset, and never more work than the event loop can bear."""

import contextlib
import json
import re
from typing import Any

import orjson

from fettle.datasets.formats import jsonl
from fettle.datasets.formats.problems import put_into_words
from fettle.errors import InvalidRequest, TooLarge

LONG_NUMBER = re.compile(rb"[0-9]{19}")
SIGNS = (b",", b":", b"[", b"{")
SIGNS_AT_MOST = 4_000  # of a body that is read in the event loop: there are no more values than signs
VALUES_AT_MOST = 20_000  # of any body: validation takes microseconds for each
KEYS_AT_MOST = 4_000  # of one object: an unknown one takes longer


def small(body: bytes) -> bool:
    """Whether reading it takes milliseconds."""
    return sum(map(body.count, SIGNS)) <= SIGNS_AT_MOST


def sound(body: bytes) -> bool:
    """Of a small body: whether it is an object without anything that `examine` would object to, for sure."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise not_json(error) from error
    plain = isinstance(parsed, dict) and len(parsed) <= KEYS_AT_MOST and LONG_NUMBER.search(body) is None
    return plain and not jsonl.suspicious(body, parsed)


def examine(body: bytes) -> None:
    """No NaN, no NUL, no key twice, bounded depth and number of values. Raises InvalidRequest, TooLarge."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise not_json(error) from error
    if not isinstance(parsed, dict):
        raise InvalidRequest(
            f"The body is a JSON {type(parsed).__name__}, but an object is needed.", code="invalid_json"
        )
    refuse_many(parsed)
    refuse_long_numbers(body)
    if not jsonl.suspicious(body, parsed):
        return
    for row_problem in jsonl.examine(body)[1]:
        problem = put_into_words(1, row_problem)
        raise InvalidRequest(f"{problem.message} {problem.fix}", code="invalid_json", param=problem.path or None)


def refuse_many(value: Any) -> None:
    """Keys count as values. Raises TooLarge."""
    waiting, seen = [value], 0
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if len(each) > KEYS_AT_MOST:
                raise TooLarge(f"The body has an object with more than {KEYS_AT_MOST:,} keys. Send less at a time.")
            seen += len(each)
            each = each.values()
        seen += len(each)
        if seen > VALUES_AT_MOST:
            raise TooLarge(f"The body contains more than {VALUES_AT_MOST:,} JSON values. Send less at a time.")
        waiting.extend(inner for inner in each if isinstance(inner, dict | list))


def refuse_long_numbers(body: bytes) -> None:
    """What has more than 64 bits would be stored, but could not be shown again. Raises InvalidRequest."""

    def whole(digits: str) -> int:
        if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
            raise InvalidRequest(
                f"The number {digits[:30]} has more than 64 bits. Send a smaller number.", code="invalid_json"
            )
        return int(digits)

    if LONG_NUMBER.search(body) is not None:
        with contextlib.suppress(RecursionError):  # `jsonl.examine` refuses it
            json.loads(body, parse_int=whole)


def not_json(error: orjson.JSONDecodeError) -> InvalidRequest:
    return InvalidRequest(f"The body is not JSON: {error.msg} at character {error.pos}.", code="invalid_json")
