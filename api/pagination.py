"""OpenAI's list object."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Row = TypeVar("Row")


def listing(rows: Sequence[Row], render: Callable[[Row], dict[str, Any]], has_more: bool) -> dict[str, Any]:
    data = [render(row) for row in rows]
    ids = [item["id"] for item in data]
    return {
        "object": "list",
        "data": data,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": has_more,
    }
