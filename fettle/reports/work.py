"""Writes a report outside of the API's process."""

from collections.abc import Callable
from typing import Any

import orjson

from fettle.jobs import step_metrics
from fettle.reports import contents, html, markdown
from fettle.reports.document import Document

WRITERS: dict[str, Callable[[Document], str]] = {"html": html.write, "markdown": markdown.write}


def write(argument: Any, content: bytes) -> bytes:
    """argument: the job's facts, and the format. content: a line of JSON for each metrics event, in their order."""
    steps = step_metrics.by_step(orjson.loads(line) for line in content.splitlines())
    document = contents.document(argument["facts"], steps)
    return WRITERS[argument["format"]](document).encode(errors="replace")
