"""`python -m fettle.isolation.process FD`: forks a process for each piece of work that the API sends it.

The API must not run what takes long or much memory in proportion to a request. This process has the libraries loaded,
so that a fork takes milliseconds. Libraries of only some work are loaded while it has nothing to do. Each fork ends
itself by a timer of the kernel, and has a limit of memory.
"""

import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Iterable
from typing import Any

import orjson

from fettle.datasets.formats.checker import limit_memory
from fettle.errors import FettleError
from fettle.host.parent_death import die_with_parent

HEADER = struct.Struct("!cQ")  # what the frame is, and how many bytes follow
RESULT, REFUSAL, NO_MEMORY, BUG = b"r", b"e", b"m", b"b"
READY = b"y"  # sent once, when what all work needs is loaded
IDLE_SECONDS = 3.0  # without an order: a start of everything else is over, or a person reads
NICE = 5  # of the work: the API's event loop comes first. Loading is not work: requests wait for it


def serve(control: socket.socket, libraries: Iterable[str]) -> None:
    """Until the API ends. An order that comes during a library's import waits for it: half a second of computing."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    unloaded = iter(libraries)
    while True:
        while not select.select([control], [], [], IDLE_SECONDS)[0]:
            if (library := next(unloaded, None)) is None:
                break
            importlib.import_module(library)
        order, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
        if not order:
            return
        for descriptor in descriptors:
            if os.fork() == 0:
                control.close()
                work_off(orjson.loads(order), socket.socket(fileno=descriptor))
            os.close(descriptor)


def work_off(order: dict[str, Any], peer: socket.socket) -> None:
    """One piece of work, in a process of its own, which ends here."""
    try:
        confine(order["seconds"], order["memory"])
        send(peer, *outcome(order["work"], peer))
    except ConnectionError:
        pass  # nobody waits for the answer any more
    except BaseException:  # a forked child must end here, and not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(0)


def confine(seconds: float, memory: int) -> None:
    die_with_parent()
    os.nice(NICE)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)  # also ends what never comes back from a library
    if sys.platform == "linux":
        limit_memory(memory)


def outcome(name: str, peer: socket.socket) -> tuple[bytes, bytes]:
    from fettle.isolation.work import WORK

    try:
        argument, content = orjson.loads(receive(peer)), receive(peer)
        return RESULT, WORK[name](argument, content)
    except FettleError as error:
        words = {"kind": type(error).__name__, "message": error.message, "code": error.code, "param": error.param}
        return REFUSAL, orjson.dumps(words)
    except (MemoryError, RecursionError):
        return NO_MEMORY, b""
    except Exception as error:  # a bug of ours: the API logs it, and answers 500
        return BUG, f"{type(error).__name__}: {error}"[:2000].encode(errors="replace")


def send(peer: socket.socket, kind: bytes, body: bytes) -> None:
    peer.sendall(HEADER.pack(kind, len(body)))
    peer.sendall(body)


def receive(peer: socket.socket) -> bytes:
    """Raises EOFError when the API has gone."""
    _, size = HEADER.unpack(exactly(peer, HEADER.size))
    return exactly(peer, size)


def exactly(peer: socket.socket, size: int) -> bytes:
    body = bytearray()
    while len(body) < size:
        part = peer.recv(min(1 << 20, size - len(body)))
        if not part:
            raise EOFError
        body += part
    return bytes(body)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the API's: we end with it
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # no threads before a fork
    gc.disable()  # this process only loads what stays, and forks
    import pyarrow.parquet  # noqa: F401 — these three, so that forks have them
    import tokenizers  # noqa: F401

    from fettle.isolation import work

    control = socket.socket(fileno=int(sys.argv[1]))
    control.send(READY)
    serve(control, work.LIBRARIES)


if __name__ == "__main__":
    main()
