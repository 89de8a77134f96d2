"""What a guest runs, by language: the files it needs, the system calls it may make, and what it becomes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fettle.rewards.sandbox import landlock, seccomp
from fettle.rewards.sandbox.errors import SandboxError
from fettle.rewards.sandbox.limits import Limits

NODE_GUEST = (Path(__file__).parent / "guest.js").read_text("utf-8")
NODE_SHARE = "/usr/share/nodejs"  # where Debian's Node keeps parts of itself
NODE_THREADS = 64
FREEZE = "--freeze-flags-after-init"  # since V8 10.5: setting a flag later ends the process
NO_OPENSSL = "--openssl-config=/no/such/file"  # one that is there and closed ends Node
NO_NODE = (
    "JavaScript needs Node.js, but the worker has no 'node' on its PATH. Install Node.js 18 or later on the worker, or "
    "use Python."
)


@dataclass(frozen=True)
class Language:
    """readable: files and folders. runnable: programs, and what the kernel loads them with. become: the command that
    takes Python's place once all is closed; its two pipes are added."""

    readable: tuple[str, ...]
    runnable: tuple[str, ...]
    limits: dict[str, int]
    seccomp: bytes
    become: tuple[str, ...] = ()


def python(limits: Limits) -> Language:
    held = {"RLIMIT_AS": limits.memory_bytes, "RLIMIT_NPROC": 16}
    return Language(tuple(landlock.library()), (), held, program())


def javascript(limits: Limits) -> Language:
    """V8 reserves far more addresses than it uses, so that its data is limited instead of its addresses.

    --jitless: no machine code is made, at the cost of speed. V8's flags can be set at run time, so that the filter
    refuses memory that is both written and run. Raises SandboxError.
    """
    node, libraries = node_and_libraries()
    heap = limits.memory_bytes * 3 // 4 >> 20
    flags = ["--jitless", "--no-expose-wasm", "--v8-pool-size=1", f"--max-old-space-size={heap}", NO_OPENSSL]
    if freezes_flags(node):
        flags.append(FREEZE)
    return Language(
        readable=(*libraries, "/etc/ld.so.cache", NODE_SHARE),
        runnable=(node, *(path for path in libraries if Path(path).name.startswith("ld-"))),
        # Where the user is the worker's own, all its threads would count: there the data that stacks need is the limit
        limits={"RLIMIT_DATA": limits.memory_bytes, **({"RLIMIT_NPROC": NODE_THREADS} if os.geteuid() == 0 else {})},
        seccomp=program(node=True),
        become=(node, *flags, "-e", NODE_GUEST),
    )


LANGUAGES: dict[str, Callable[[Limits], Language]] = {"python": python, "javascript": javascript}


@cache
def node_and_libraries() -> tuple[str, tuple[str, ...]]:
    """Node's binary, and every library that it is linked to. Raises SandboxError."""
    found = shutil.which("node")
    if found is None:
        raise SandboxError(NO_NODE)
    node = str(Path(found).resolve())
    return node, tuple(landlock.libraries([node]))


@cache
def freezes_flags(node: str) -> bool:
    command = [node, FREEZE, "-e", "0"]
    return subprocess.run(command, capture_output=True, timeout=20, env={"PATH": "/usr/bin:/bin"}).returncode == 0


def interpreter() -> str:
    """Python itself, without the virtual environment around it."""
    base = Path(getattr(sys, "_base_executable", ""))  # of an environment made with copies, too
    return str((base if base.is_file() else Path(sys.executable)).resolve())


@cache
def shared_python() -> Path | None:
    """The file that holds Python itself, where its program does not: as it was found here, by whatever rule."""
    mapped = Path("/proc/self/maps").read_text().splitlines()
    found = [line.split(maxsplit=5)[5] for line in mapped if "/libpython" in line]
    return Path(found[0]) if found else None


def program(*, node: bool = False) -> bytes:
    try:
        return seccomp.filter_program(node=node)
    except seccomp.Unsupported as error:
        raise SandboxError(str(error)) from error
