"""Which files the sandbox may reach: Landlock rules for what its interpreter reads, and nothing else.

landlock(7). Handled and not allowed is refused, so every right that the kernel knows is handled: writing, making,
running, connecting, and signals to whoever is outside.
"""

import ctypes
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

CREATE_RULESET, VERSION_FLAG = 444, 1
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many file rights an ABI knows; later ones as many as 5
NETWORK_RIGHTS, SCOPES = 0b11, 0b11  # bind, connect; abstract sockets, signals
NETWORK_SINCE, SCOPES_SINCE = 4, 6
INSTALLED = {"site-packages", "dist-packages", "__pycache__"}  # packages, ours among them: no business of a grader's


@cache
def abi() -> int:
    """The kernel's Landlock version; 0 without it."""
    return max(0, int(ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, VERSION_FLAG)))


def rules(abi: int, readable: Sequence[str], runnable: Sequence[str] = ()) -> dict[str, object]:
    """What the guest needs to know to restrict itself to these files and folders."""
    network, scopes = abi >= NETWORK_SINCE, abi >= SCOPES_SINCE
    return {
        "handled_files": (1 << FILE_RIGHTS[min(abi, max(FILE_RIGHTS))]) - 1,
        "handled_network": NETWORK_RIGHTS if network else 0,
        "handled_scopes": SCOPES if scopes else 0,
        "ruleset_bytes": 24 if scopes else 16 if network else 8,
        "readable": list(readable),
        "runnable": list(runnable),
    }


@cache
def library() -> list[str]:
    """Python's standard library, entry by entry: installed packages often live in a folder of it."""
    folder = Path(sysconfig.get_path("stdlib", vars={"base": sysconfig.get_config_var("installed_base")}))
    entries = [entry for entry in folder.iterdir() if entry.name not in INSTALLED]
    return sorted(map(str, entries))
