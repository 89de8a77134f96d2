"""Validation in a process of its own: `python -m fettle.datasets.formats.checker FILE MAX_ROW_BYTES MEMORY`.

It begins while the file is still being written: each line on stdin tells how many bytes are there by now, and `end 30`
that these are all and that 30 seconds are left. The report goes to stdout. A parent that goes away before the end takes
the process with it.
"""

import gc
import io
import os
import resource
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from fettle.datasets.formats.parallel import check_on

NO_MEMORY = 3  # exit status
# Of a process with a limit of memory: pyarrow's own pool reserves a GiB at once, and leaves no room for the rest
LIMITED = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
BUFFER = 1 << 20  # bytes
MAX_PROCESSES = 4  # for one file: more would wait for the bytes


class Growing(io.RawIOBase):
    """A file that another process is writing; reading waits for what is not there yet. Raises EOFError if never."""

    def __init__(self, path: Path, news: Iterable[bytes]) -> None:
        self.fd = os.open(path, os.O_RDONLY)
        self.news = iter(news)
        self.position = self.size = 0
        self.whole = False

    def fileno(self) -> int:
        return self.fd

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _listen(self) -> None:
        line = next(self.news, None)
        if line is None:
            raise EOFError("the upload was broken off")
        self.whole = line.startswith(b"end ")
        if self.whole:
            signal.setitimer(signal.ITIMER_REAL, float(line.split()[1]))  # the kernel ends us
        else:
            self.size = int(line)

    def readinto(self, buffer: Any, /) -> int:
        while self.position >= self.size and not self.whole:
            self._listen()
        room = memoryview(buffer)[: self.size - self.position]
        read = os.preadv(self.fd, [room], self.position)
        self.position += read
        return read

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        while whence == os.SEEK_END and not self.whole:
            self._listen()
        self.position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        return self.position

    def tell(self) -> int:
        return self.position

    def close(self) -> None:
        if not self.closed:
            os.close(self.fd)
        super().close()


def end(seconds: float) -> bytes:
    """The line that ends the news."""
    return b"end %.3f\n" % seconds


def limit_memory(room: int) -> None:
    """room: bytes beyond those that are mapped now. Processes that we start have the same limit."""
    with Path("/proc/self/statm").open() as file:
        mapped = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + room, mapped + room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(path: Path, max_row_bytes: int, memory: int, news: BinaryIO) -> None:
    gc.disable()  # rows hold no cycles
    if sys.platform == "linux":
        limit_memory(memory)
    try:
        with io.BufferedReader(Growing(path, news), BUFFER) as file:
            report = check_on(min(os.cpu_count() or 1, MAX_PROCESSES), file, max_row_bytes)
    except EOFError:
        sys.exit(1)
    except (MemoryError, RecursionError):
        sys.exit(NO_MEMORY)
    sys.stdout.write(report.model_dump_json())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.stdin.buffer)
