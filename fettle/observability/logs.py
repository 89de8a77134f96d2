"""One shape for every log line, ours and the libraries': JSON on stderr, or readable lines in a terminal.

A line carries what its context knows: `request_id` and `project_id` in a request, `job_id` and `fence` in a job.
Never a prompt, a row or a key. Whatever a client sends stays on one line.
"""

import io
import json
import logging
import sys
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from fettle.settings import Settings

CHATTY = ("alembic", "arq", "asyncio", "boto3", "botocore", "httpcore", "httpx", "s3transfer", "urllib3")
CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)]}  # terminals obey some of these


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """For this process, from now on; the standard library's loggers, uvicorn's too, get the same shape."""
    target = stream or sys.stderr
    stream = cast(TextIO, LogStream(target))
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    render = RENDERERS[settings.log_format or ("console" if target.isatty() else "json")]
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*common, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *common],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class LogStream(io.TextIOBase):
    """A full disk under the log costs lines, never a request. `failing` says whether the newest line was lost."""

    failing = False  # of this process, whose log is one stream

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        try:
            self.stream.write(text)
            self.stream.flush()
            LogStream.failing = False
        except (OSError, ValueError):  # ValueError: it is closed
            LogStream.failing = True
        return len(text)

    def flush(self) -> None:
        """`write` has done it."""


def as_json(logger: WrappedLogger, name: str, line: EventDict) -> str:
    try:
        return orjson.dumps(line, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # half a surrogate pair, a huge integer: a line must not fail a request
        return json.dumps(line, default=repr, skipkeys=True)


def without_control_characters(logger: WrappedLogger, name: str, line: EventDict) -> EventDict:
    """A path or a header must not write a second line, nor colour the terminal. JSON escapes by itself."""
    return {key: value.translate(CONTROL) if isinstance(value, str) else value for key, value in line.items()}


RENDERERS: dict[str, list[Any]] = {
    "json": [structlog.processors.format_exc_info, as_json],
    "console": [
        without_control_characters,
        # its own choice of traceback shows local variables, which are prompts and keys
        structlog.dev.ConsoleRenderer(pad_event_to=20, exception_formatter=structlog.dev.plain_traceback),
    ],
}


def request_id() -> str | None:
    """Of the request that is being answered."""
    found: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return found
