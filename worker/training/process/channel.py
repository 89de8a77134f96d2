"""The training process's end of the connection to its supervisor."""

import json
import os
import queue
import socket
import threading
from abc import ABC, abstractmethod
from typing import Any, Literal, Protocol

ORPHANED = 3  # exit status of a child whose supervisor went away
LOOK_UP_SECONDS = 0.05  # between checks for a stop while an answer is awaited
LOST_RANK = 4  # exit status of a child that lost one of its ranks without a word


class Stopped(Exception):
    """A stop arrived where there is nothing new to save."""


class Flag(Protocol):
    def is_set(self) -> bool: ...
    def set(self) -> None: ...


class Channel(ABC):
    """What a training tells its supervisor, and what it learns from it."""

    def __init__(self, stop: Flag, answers: "queue.SimpleQueue[dict[str, Any]]") -> None:
        self.stop, self.answers = stop, answers

    @abstractmethod
    def send(self, type: str, **fields: Any) -> None:
        """Only the main thread sends. Raises ValueError for a number that JSON cannot express."""

    def conclude(self, type: str, **fields: Any) -> None:
        """Sends the last line, after which the supervisor may close the connection."""
        self.send(type, **fields)

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


class SocketChannel(Channel):
    """Lines of JSON both ways. A supervisor that is gone ends the process at once.

    sock: None for a rank that is not the first, which neither sends nor receives.
    """

    def __init__(self, sock: socket.socket | None) -> None:
        super().__init__(threading.Event(), queue.SimpleQueue())
        self.sock = sock
        self.concluded = False
        if sock is not None:
            threading.Thread(target=self._listen, args=(sock,), name="supervisor", daemon=True).start()

    def send(self, type: str, **fields: Any) -> None:
        line = json.dumps({"type": type, **fields}, allow_nan=False) + "\n"
        if self.sock is None:
            return
        try:
            self.sock.sendall(line.encode())
        except OSError:
            os._exit(ORPHANED)

    def conclude(self, type: str, **fields: Any) -> None:
        self.concluded = True
        super().conclude(type, **fields)

    def _listen(self, sock: socket.socket) -> None:
        try:
            for line in sock.makefile("rb"):
                message = json.loads(line)
                if message["type"] == "stop":
                    self.stop.set()
                else:
                    self.answers.put(message)
        finally:  # a reset or a line that is not JSON ends the connection, too
            if not self.concluded:
                os._exit(ORPHANED)
