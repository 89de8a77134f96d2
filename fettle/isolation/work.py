"""What may be run in isolation. Each function takes an argument made of JSON and some bytes, and returns bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from fettle import json_body
from fettle.datasets.formats import preview, validation
from fettle.rewards import given
from fettle.rollouts import selection

Work = Callable[[Any, bytes], bytes]


def check_graders(argument: Any, content: bytes) -> bytes:
    check = given.check if argument["sources"] else given.check_shape
    return orjson.dumps(check(argument["judges"], tuple(argument["within"])))


def check_body(argument: Any, content: bytes) -> bytes:
    json_body.examine(content)
    return b""


def validate(argument: Any, content: bytes) -> bytes:
    report = validation.validate(Path(argument["path"]), max_row_bytes=argument["max_row_bytes"])
    return report.model_dump_json().encode()


def look(argument: Any, content: bytes) -> bytes:
    """A preview of a dataset."""
    path, base = Path(argument.pop("path")), Path(argument.pop("base"))
    return orjson.dumps(preview.look(path, base, **argument))


WORK: dict[str, Work] = {
    "check_graders": check_graders,
    "check_body": check_body,
    "validate": validate,
    "look": look,
    "select_rollouts": selection.select,
}
