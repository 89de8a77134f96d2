"""Processes that end with the process that started them, even while they hang or are frozen.

`python -m fettle.host.parent_death PROGRAM [ARGUMENT …]` becomes that program; it gets SIGTERM when its parent ends.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(sign: signal.Signals = signal.SIGKILL) -> None:
    """Sends this process the signal when the thread that started it ends. Linux only; elsewhere it does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, sign)


if __name__ == "__main__":
    die_with_parent(signal.SIGTERM)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 — our own command
