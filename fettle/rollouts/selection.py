"""Rows of one chunk, decoded and filtered where the API's event loop does not wait for it."""

from dataclasses import asdict
from typing import Any

import orjson

from fettle.rollouts import store


def select(argument: Any, content: bytes) -> bytes:
    """argument: the fields of `Part`. Those of `Rows` as JSON."""
    part = store.Part(**{**argument, "wanted": store.RolloutFilter(**argument["wanted"])})
    return orjson.dumps(asdict(store.part_of(content, part)))


def export(argument: Any, content: bytes) -> bytes:
    """argument: `format`, and the fields of `RolloutFilter`. Lines of JSON."""
    return store.encode_rows(content, store.RolloutFilter(**argument["wanted"]), argument["format"])
