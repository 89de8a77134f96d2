import ast
import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from fettle.observability import logs
from fettle.settings import Settings

FORGED = 'x\n{"event": "paid", "level": "info"}\r\n\x1b[31mred'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def configured() -> Iterator[Callable[..., io.StringIO]]:
    """Configures the log as a process does, onto a stream of the test's; afterwards all is as before."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level

    def configure(stream: io.StringIO | None = None, **settings: Any) -> io.StringIO:
        stream = stream or io.StringIO()
        logs.configure(Settings(**settings), stream)
        structlog.configure(cache_logger_on_first_use=False)
        return stream

    yield configure
    structlog.contextvars.clear_contextvars()
    structlog.configure(**before)
    root.handlers, root.level = handlers, level


class TestJson:
    def test_a_line_is_one_object_with_what_its_context_knows(self, configured: Callable[..., io.StringIO]) -> None:
        stream = configured()
        with structlog.contextvars.bound_contextvars(request_id="req_1", project_id="proj_1"):
            structlog.get_logger().info("request", path="/v1/files")
        line = json.loads(stream.getvalue())
        assert line.pop("timestamp").endswith("Z")
        assert line == {
            "event": "request", "level": "info", "path": "/v1/files", "request_id": "req_1", "project_id": "proj_1"
        }  # fmt: skip

    def test_the_libraries_lines_have_the_same_shape(self, configured: Callable[..., io.StringIO]) -> None:
        stream = configured()
        with structlog.contextvars.bound_contextvars(job_id="ftjob-1", fence=2):
            logging.getLogger("uvicorn.error").warning("Invalid %s", "request")
        line = json.loads(stream.getvalue())
        assert (line["event"], line["level"], line["logger"]) == ("Invalid request", "warning", "uvicorn.error")
        assert (line["job_id"], line["fence"]) == ("ftjob-1", 2)

    @pytest.mark.parametrize("write", [lambda: structlog.get_logger().info("request", path=FORGED),
                                       lambda: structlog.get_logger().info(FORGED),
                                       lambda: logging.getLogger("uvicorn.error").warning("%s", FORGED)])  # fmt: skip
    def test_what_a_client_sends_stays_on_one_line(
        self, configured: Callable[..., io.StringIO], write: Callable[[], None]
    ) -> None:
        stream = configured()
        write()
        (line,) = stream.getvalue().splitlines()
        assert FORGED in json.loads(line).values()

    def test_an_exception_is_part_of_its_line(self, configured: Callable[..., io.StringIO]) -> None:
        stream = configured()
        try:
            raise ValueError("a\nb")
        except ValueError:
            logging.getLogger("uvicorn.error").exception("it broke")
        (line,) = stream.getvalue().splitlines()
        assert "ValueError: a\nb" in json.loads(line)["exception"]

    def test_what_has_no_json_form_is_still_logged(self, configured: Callable[..., io.StringIO]) -> None:
        stream = configured()
        structlog.get_logger().info("odd", value={1: object})
        assert json.loads(stream.getvalue())["value"] == {"1": "<class 'object'>"}


class TestConsole:
    def test_a_terminal_gets_readable_lines_and_cannot_be_fooled(self, configured: Callable[..., io.StringIO]) -> None:
        stream = configured(Terminal())
        structlog.get_logger().info(FORGED, path=FORGED)
        logging.getLogger("uvicorn.error").warning("%s", FORGED)
        assert len(stream.getvalue().splitlines()) == 2
        assert "\x1b[31mred" not in stream.getvalue()
        assert "\\x1b[31mred" in stream.getvalue()

    def test_the_setting_wins_over_the_terminal(self, configured: Callable[..., io.StringIO]) -> None:
        stream = configured(Terminal(), log_format="json")
        structlog.get_logger().info("request")
        assert json.loads(stream.getvalue())["event"] == "request"


class TestTracebacks:
    @pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "console"])
    def test_local_variables_stay_out(self, configured: Callable[..., io.StringIO], stream: io.StringIO) -> None:
        configured(stream)
        prompt = "".join(["can", "ary"])  # the source line is part of a traceback, the value must not be
        try:
            raise ValueError(len(prompt))
        except ValueError as error:
            structlog.get_logger().error("internal_error", exc_info=error)
        assert "ValueError: 6" in stream.getvalue()
        assert "canary" not in stream.getvalue()


class TestLevel:
    def test_below_it_nothing_is_written(self, configured: Callable[..., io.StringIO]) -> None:
        stream = configured(log_level="warning")
        structlog.get_logger().info("request")
        logging.getLogger("uvicorn.error").info("started")
        assert stream.getvalue() == ""

    def test_chatty_libraries_are_heard_from_warnings_on(self, configured: Callable[..., io.StringIO]) -> None:
        stream = configured(log_level="debug")
        logging.getLogger("botocore").info("a secret header")
        logging.getLogger("botocore").warning("slow")
        (line,) = stream.getvalue().splitlines()
        assert json.loads(line)["event"] == "slow"


class TestAFullDiskUnderTheLog:
    def test_it_costs_lines_and_no_request(self, configured: Callable[..., io.StringIO]) -> None:
        with open("/dev/full", "w") as full:  # noqa: PTH123 — a device
            configured(cast(io.StringIO, full))
            structlog.get_logger().info("request")
            logging.getLogger("uvicorn.error").warning("lost")
            assert logs.LogStream.failing
            os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # room again
            structlog.get_logger().info("request")
        assert not logs.LogStream.failing

    def test_what_json_cannot_say_is_escaped(self, configured: Callable[..., io.StringIO]) -> None:
        stream = configured()
        structlog.get_logger().info("request", path="\ud800", number=2**70)
        assert json.loads(stream.getvalue())["number"] == 2**70


def test_no_field_has_the_name_of_one_that_every_line_has() -> None:
    """`log.info("sandbox", level=…)` showed the sandbox as the line's level."""
    ours = {"event", "level", "timestamp", "logger", "project_id"}
    for path in [*Path("fettle").rglob("*.py"), *Path("api").rglob("*.py"), *Path("worker").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_log(node.func):
                taken = ours & {keyword.arg for keyword in node.keywords}
                assert not taken, f"{path}:{node.lineno} overwrites {taken}"


def is_log(called: ast.Attribute) -> bool:
    return isinstance(called.value, ast.Name) and called.value.id == "log"
