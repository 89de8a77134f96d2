"""The child's end of the line to its supervisor: JSON lines both ways."""

import json
import os
import socket
import threading
from typing import Any, Literal

ORPHANED = 3  # exit status of a child whose supervisor went away


class Channel:
    """Sends what happens; hears `stop`. A supervisor that is gone ends the process at once."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.stop = threading.Event()
        self.concluded = False
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()

    def send(self, type: str, **fields: Any) -> None:
        """Only the main thread sends. Raises ValueError for a number that JSON has no form for."""
        line = json.dumps({"type": type, **fields}, allow_nan=False) + "\n"
        try:
            self.sock.sendall(line.encode())
        except OSError:
            os._exit(ORPHANED)

    def event(
        self, message: str, data: dict[str, Any] | None = None, *, level: Literal["info", "warn", "error"] = "info"
    ) -> None:
        self.send("event", level=level, message=message, data=data or {})

    def conclude(self, type: str, **fields: Any) -> None:
        """The last line, after which the supervisor may hang up."""
        self.concluded = True
        self.send(type, **fields)

    def _listen(self) -> None:
        try:
            for line in self.sock.makefile("rb"):
                if json.loads(line)["type"] == "stop":
                    self.stop.set()
        finally:  # a reset, or a line that is none, is as good as a hang-up
            if not self.concluded:
                os._exit(ORPHANED)
