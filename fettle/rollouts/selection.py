"""Rows of one chunk, decoded and filtered where the API's event loop does not wait for it."""

from dataclasses import asdict
from typing import Any

import orjson

from fettle.rollouts import pages
from fettle.rollouts.export import encode_rows
from fettle.rollouts.store import RolloutFilter


def select(argument: Any, content: bytes) -> bytes:
    """argument: the fields of `Part`. Those of `Rows` as JSON."""
    part = pages.Part(**{**argument, "wanted": RolloutFilter(**argument["wanted"])})
    return orjson.dumps(asdict(pages.part_of(content, part)))


def export(argument: Any, content: bytes) -> bytes:
    """argument: `format`, and the fields of `RolloutFilter`. Lines of JSON."""
    return encode_rows(content, RolloutFilter(**argument["wanted"]), argument["format"])
