"""What still runs of a guest: it has a session of its own, and its bubblewrap is in it."""

import time
from pathlib import Path


def running(session: int) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = entry.read_text().rpartition(") ")[2].split()[:4]
        except OSError:
            continue
        if int(of) == session and state not in "ZX":
            found.append(entry.parent.name)
    return found


def gone(session: int) -> bool:
    """Whether nothing of it runs any more; waits up to a minute for that."""
    deadline = time.monotonic() + 60
    while running(session) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not running(session)
