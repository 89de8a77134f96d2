"""Python tools that rollouts call, opened: each in a sandbox of its own, with a grader's limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fettle.errors import InvalidRequest
from fettle.rewards import source
from fettle.rewards.sandbox import Limits, LoadError, Sandbox, level
from fettle.rewards.sandbox.host import Returned

NONCHARACTERS = dict.fromkeys(range(0xFDD0, 0xFDF0), "\ufffd")  # a chat template's text must not have them


def check(tools: Sequence[Mapping[str, Any]], within: tuple[str, ...] = ()) -> None:
    """Raises InvalidRequest for a source that is not Python, or does not define its function."""
    for index, tool in enumerate(tools):
        try:
            source.check(tool["source"], (tool["name"],))
        except ValueError as error:
            where = ".".join((*within, f"tools[{index}]", "source"))
            raise InvalidRequest(f"The tool {tool['name']!r}: {error}.", param=where) from error


@dataclass(frozen=True)
class Call:
    """arguments: JSON, as the model wrote them."""

    name: str
    arguments: str


class Tools:
    """Opening loads user code: raises SandboxError when it does not load, or when this machine cannot confine it."""

    def __init__(self, tools: Sequence[Mapping[str, Any]], limits: Limits | None = None) -> None:
        self.sandboxes: dict[str, Sandbox] = {}
        self.sandbox = level() if tools else None
        try:
            for tool in tools:
                self.sandboxes[tool["name"]] = opened(tool, limits)
        except BaseException:
            self.close()
            raise

    def call(self, call: Call) -> Returned:
        """What the model reads: the result, or what went wrong."""
        try:
            arguments = orjson.loads(call.arguments or "{}")
        except orjson.JSONDecodeError as error:
            return failed(f"The arguments are not valid JSON: {error}")
        if not isinstance(arguments, dict):
            return failed("The arguments are not a JSON object")
        try:
            returned = self.sandboxes[call.name].call(arguments)
        except LoadError as error:  # it was closed after an overrun, and does not start again
            return failed(str(error))
        text = returned.text.translate(NONCHARACTERS)
        return failed(text) if returned.failed else Returned(text)

    def close(self) -> None:
        for sandbox in self.sandboxes.values():
            sandbox.close()
        self.sandboxes = {}


def opened(tool: Mapping[str, Any], limits: Limits | None) -> Sandbox:
    try:
        return Sandbox(tool["source"], limits, (tool["name"],))
    except LoadError as error:
        raise LoadError(f"The tool {tool['name']!r}: {error}") from error


def failed(why: str) -> Returned:
    return Returned(f"Error: {why}", failed=True)
