"""Tool calls out of a model's text, piece by piece: what is streamed and what is answered whole are the same."""

import re
import secrets
import string
from collections.abc import Collection
from typing import Any

import orjson

from fettle import ids
from fettle.registry.tool_formats import ToolFormat
from worker.engine.text import overlap

Delta = dict[str, Any]  # of an assistant's message, as OpenAI streams it

HEAD_AT_MOST = 2048  # characters before the arguments: a name has at most 64
JSON_HEAD = re.compile(
    r'[\s\[]*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=[\{\[])', re.DOTALL
)
ARGS_HEAD = re.compile(r"\s*([\w.-]+)\s*(?:\[ARGS\])?\s*(?=\{)")
TAIL = re.compile(r"(?:\s|[}\]]|</tool_call>)*")
END_TAG = "</tool_call>"


def call_id(form: ToolFormat) -> str:
    if form.short_ids:
        return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(9))
    return ids.new("call_")


class Scanner:
    """Where a JSON object or array ends."""

    def __init__(self) -> None:
        self.depth, self.quoted, self.escaped = 0, False, False

    def take(self, text: str) -> int | None:
        """How many characters of `text` belong to the value when it ends within; None while it goes on."""
        for index, character in enumerate(text):
            if self.escaped:
                self.escaped = False
            elif self.quoted:
                self.escaped, self.quoted = character == "\\", character != '"'
            elif character == '"':
                self.quoted = True
            elif character in "{[":
                self.depth += 1
            elif character in "}]":
                self.depth -= 1
                if self.depth == 0:
                    return index + 1
        return None


class CallParser:
    """One choice of a request with tools.

    names: of the functions. named: the model was made to call this one, and its text begins with the arguments.
    """

    def __init__(self, form: ToolFormat, names: Collection[str], *, parallel: bool = True, named: str | None = None):
        self.form, self.names, self.parallel, self.named = form, names, parallel and named is None, named
        self.state = "text" if named is None else "named"
        self.buffer = ""
        self.mark = ""  # that began the call which is being read
        self.calls = 0
        self.said = False  # whether there was content
        self.scanner = Scanner()

    def push(self, text: str, *, last: bool = False) -> list[Delta]:
        """What the next piece of the answer adds to the message."""
        self.buffer += text
        deltas: list[Delta] = []
        while getattr(self, f"_{self.state}")(deltas, last):
            pass
        return deltas

    def _text(self, deltas: list[Delta], last: bool) -> bool:
        """Content until a mark. Blanks before a mark belong to it: the template writes them again."""
        if self.form.bare and not self.said and not self.calls and self.buffer.lstrip().startswith("{"):
            self.mark, self.state = "", "head"
            return True
        found = [(at, mark) for mark in self.form.marks if (at := self.buffer.find(mark)) >= 0]
        if found:
            at, self.mark = min(found)
            before, self.buffer = self.buffer[:at].rstrip(), self.buffer[at + len(self.mark) :]
            self._say(before, deltas)
            self.state = "head"
            return True
        if last:
            text, self.buffer = self.buffer, ""
        else:
            safe = len(self.buffer) - max(overlap(self.buffer, mark) for mark in self.form.marks)
            safe = len(self.buffer[:safe].rstrip())
            text, self.buffer = self.buffer[:safe], self.buffer[safe:]
        self._say(text if self.calls == 0 or text.strip() else "", deltas)
        return False

    def _head(self, deltas: list[Delta], last: bool) -> bool:
        """The name of the function."""
        pattern = JSON_HEAD if '"name"' in self.form.prefix else ARGS_HEAD
        if found := pattern.match(self.buffer):
            name = decoded(found[1]) if pattern is JSON_HEAD else found[1]
            if not isinstance(name, str) or name not in self.names:
                return self._not_a_call()
            self._begin(name, deltas)
            self.buffer, self.state, self.scanner = self.buffer[found.end() :], "arguments", Scanner()
            return True
        opened = self.buffer.lstrip("\n\t\r [")
        size = Scanner().take(opened) if opened.startswith("{") else None
        if size is not None:  # its keys are in another order
            call = decoded(opened[:size])
            given = call.get("arguments", call.get("parameters", {})) if isinstance(call, dict) else None
            if isinstance(call, dict) and call.get("name") in self.names and isinstance(given, dict):
                self._begin(call["name"], deltas)
                deltas.append(arguments(self.calls - 1, orjson.dumps(given).decode()))
                self.buffer, self.state = opened[size:], "tail"
                return True
            return self._not_a_call()
        wrong = bool(opened) and pattern is JSON_HEAD and not opened.startswith("{")
        return self._not_a_call() if last or wrong or len(self.buffer) > HEAD_AT_MOST else False

    def _not_a_call(self) -> bool:
        """What seemed to be one is text, and so is all that follows."""
        self.buffer, self.state = self.mark + self.buffer, "plain"
        return True

    def _named(self, deltas: list[Delta], last: bool) -> bool:
        self.buffer = self.buffer.lstrip()
        self._begin(self.named or "", deltas)
        self.state = "arguments"
        return True

    def _arguments(self, deltas: list[Delta], last: bool) -> bool:
        if not self.scanner.depth:
            self.buffer = self.buffer.lstrip()
        size = self.scanner.take(self.buffer)
        text, self.buffer = self.buffer[:size], "" if size is None else self.buffer[size:]
        if text:
            deltas.append(arguments(self.calls - 1, text))
        if size is None:
            return False
        self.state = "tail" if self.parallel else "over"
        return True

    def _tail(self, deltas: list[Delta], last: bool) -> bool:
        """Between two calls, or after the last one."""
        found = TAIL.match(self.buffer)
        self.buffer = self.buffer[found.end() if found else 0 :]
        if not self.buffer or (END_TAG.startswith(self.buffer) and not last):
            return False
        if self.buffer[0] in ",;":
            self.buffer, self.mark, self.state = self.buffer[1:], self.buffer[0], "head"
        else:
            self.state = "text"
        return True

    def _plain(self, deltas: list[Delta], last: bool) -> bool:
        text, self.buffer = self.buffer, ""
        self._say(text, deltas)
        return False

    def _over(self, deltas: list[Delta], last: bool) -> bool:
        self.buffer = ""
        return False

    def _say(self, text: str, deltas: list[Delta]) -> None:
        if text:
            self.said = True
            deltas.append({"content": text})

    def _begin(self, name: str, deltas: list[Delta]) -> None:
        function = {"name": name, "arguments": ""}
        call = {"index": self.calls, "id": call_id(self.form), "type": "function", "function": function}
        self.calls += 1
        deltas.append({"tool_calls": [call]})


def arguments(index: int, text: str) -> Delta:
    return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def decoded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def message(deltas: list[Delta]) -> dict[str, Any]:
    """What a client that adds the deltas up has in the end."""
    content = "".join(delta.get("content", "") for delta in deltas)
    calls: list[dict[str, Any]] = []
    for delta in deltas:
        for piece in delta.get("tool_calls", ()):
            if "id" in piece:
                calls.append({"id": piece["id"], "type": "function", "function": dict(piece["function"])})
            else:
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    found: dict[str, Any] = {"role": "assistant", "content": content or (None if calls else ""), "refusal": None}
    return found | ({"tool_calls": calls} if calls else {})
