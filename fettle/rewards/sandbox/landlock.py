"""Which files the sandbox may reach: Landlock rules for what its interpreter reads, and nothing else.

landlock(7). Handled and not allowed is refused, so every right that the kernel knows is handled: writing, making,
running, connecting, and signals to whoever is outside.
"""

import ctypes
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

CREATE_RULESET, VERSION_FLAG = 444, 1
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many file rights an ABI knows; later ones as many as 5
NETWORK_RIGHTS, SCOPES = 0b11, 0b11  # bind, connect; abstract sockets, signals
NETWORK_SINCE, SCOPES_SINCE = 4, 6
INSTALLED = {"site-packages", "dist-packages", "__pycache__"}  # packages, ours among them: no business of a grader's
LINKED = (
    "_bz2",
    "_lzma",
    "_sqlite3",
    "_ssl",
    "_uuid",
    "_zstd",
)  # to libraries that no module loaded at start has brought


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


def library_folders() -> list[Path]:
    """Where Python's standard library lies: one folder, or a second one for what is compiled."""
    bases = {
        "base": sysconfig.get_config_var("installed_base"),
        "platbase": sysconfig.get_config_var("installed_platbase"),
    }
    return list(dict.fromkeys(Path(sysconfig.get_path(name, vars=bases)) for name in ("stdlib", "platstdlib")))


@cache
def library() -> list[str]:
    """Python's standard library, entry by entry (installed packages often live in a folder of it), and the libraries
    that its modules are linked to."""
    folders = library_folders()
    entries = [entry for folder in folders for entry in folder.iterdir() if entry.name not in INSTALLED]
    linked = [str(file) for folder in folders for name in LINKED for file in folder.glob(f"lib-dynload/{name}.*so")]
    return sorted({*map(str, entries), *libraries(linked)})


def libraries(programs: Sequence[str]) -> list[str]:
    """Every library that these are linked to."""
    if not programs or shutil.which("ldd") is None:
        return []
    listed = subprocess.run(
        ["ldd", *programs], capture_output=True, text=True, timeout=20, env={"PATH": "/usr/bin:/bin"}
    )
    return list(dict.fromkeys(re.findall(r"(/\S+) \(0x", listed.stdout)))
