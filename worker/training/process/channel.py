"""The child's end of the line to its supervisor: JSON lines both ways."""

import json
import os
import queue
import socket
import threading
from typing import Any, Literal, Protocol

ORPHANED = 3  # exit status of a child whose supervisor went away
LOOK_UP_SECONDS = 0.05  # between looks for a stop while an answer is awaited
LOST_RANK = 4  # exit status of a child that lost one of its ranks without a word


class Stopped(Exception):
    """A stop was heard where there is nothing new to save."""


class Flag(Protocol):
    def is_set(self) -> bool: ...
    def set(self) -> None: ...


class Channel:
    """Sends what happens; hears `stop`, and answers to `ask`. A supervisor that is gone ends the process at once.

    sock: None for a rank that is not the first, which says and hears nothing.
    """

    def __init__(self, sock: socket.socket | None) -> None:
        self.sock = sock
        self.stop: Flag = threading.Event()
        self.answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.concluded = False
        if sock is not None:
            threading.Thread(target=self._listen, args=(sock,), name="supervisor", daemon=True).start()

    def send(self, type: str, **fields: Any) -> None:
        """Only the main thread sends. Raises ValueError for a number that JSON has no form for."""
        line = json.dumps({"type": type, **fields}, allow_nan=False) + "\n"
        if self.sock is None:
            return
        try:
            self.sock.sendall(line.encode())
        except OSError:
            os._exit(ORPHANED)

    def ask(self, type: str, stop: Flag, **fields: Any) -> dict[str, Any]:
        """Sends a line and waits for its answer, however long that takes. stop: raises Stopped once it is set."""
        self.send(type, **fields)
        while True:
            try:
                return self.answers.get(timeout=LOOK_UP_SECONDS)
            except queue.Empty:
                if stop.is_set():
                    raise Stopped from None

    def event(
        self, message: str, data: dict[str, Any] | None = None, *, level: Literal["info", "warn", "error"] = "info"
    ) -> None:
        self.send("event", level=level, message=message, data=data or {})

    def heed_stop(self) -> None:
        """Raises Stopped as soon as there was a stop."""
        if self.stop.is_set():
            raise Stopped

    def conclude(self, type: str, **fields: Any) -> None:
        """The last line, after which the supervisor may hang up."""
        self.concluded = True
        self.send(type, **fields)

    def _listen(self, sock: socket.socket) -> None:
        try:
            for line in sock.makefile("rb"):
                heard = json.loads(line)
                if heard["type"] == "stop":
                    self.stop.set()
                else:
                    self.answers.put(heard)
        finally:  # a reset, or a line that is none, is as good as a hang-up
            if not self.concluded:
                os._exit(ORPHANED)
