"""Processes that end with the one that started them, whatever they are doing: also one that hangs, or is frozen."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie() -> None:
    """This process gets SIGKILL when the thread that started it ends. On Linux; elsewhere its streams' ends must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
