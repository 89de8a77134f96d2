"""Rows of one chunk, decoded and filtered where the API's event loop does not wait for it."""

from typing import Any

import orjson

from fettle.rollouts import store


def select(argument: Any, content: bytes) -> bytes:
    """argument: the fields of `Wanted`. The rows as JSON."""
    return orjson.dumps(store.chosen(content, store.Wanted(**argument)))
