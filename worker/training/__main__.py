"""The training child: `python -m worker.training FOLDER FD [RANKS]`, or `run` in a process forked for it.

FOLDER is the work folder, FD an inherited socket to the supervisor, RANKS how many processes train together. Nothing
else reaches it: no credentials, no database, no network but that between its ranks. The supervisor imports this module
for `run`, so it imports no torch.
"""

import os
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path

from fettle.host.devices import Gang
from fettle.host.parent_death import die_with_parent
from worker.training.process.channel import Channel, SocketChannel
from worker.training.process.job_spec import Work


def verify(folder: str, sock: socket.socket) -> None:
    """Reports what the job's published adapters give on the probe rows. Exits with status 1 after an `error` line."""
    stand_alone(Path(folder) / "log.txt")
    conclude_with(SocketChannel(sock), Path(folder), "worker.training.verify")


def run(folder: str, sock: socket.socket, number: int = 1, gang: Gang | None = None) -> None:
    """Trains one job with this `number` of ranks here, and as many on each other node of the gang.

    Exits with status 1 after an `error` line.
    """
    stand_alone(Path(folder) / "log.txt")
    if number > 1 or gang:
        from worker.training.distributed import torchrun

        torchrun.launch(Path(folder), sock, number, gang)
    else:
        conclude_with(SocketChannel(sock), Path(folder), "worker.training.loop")


def conclude_with(channel: Channel, folder: Path, module: str) -> None:
    """Calls `run` of the module. Exits with status 1 when it raises, after an `error` line that says why."""
    import worker.training.process.preload  # noqa: F401 — first: it sets what the libraries read when they are imported
    from worker.training.process import failures

    try:
        import_module(module).run(Work.read(folder), channel)
    except Exception as error:  # `failures` says what it is
        traceback.print_exc()
        failure = failures.explain(error)
        channel.conclude("error", code=failure.code, message=failure.message, param=failure.param)
        sys.exit(1)


def stand_alone(log: Path) -> None:
    """A session of its own, output to the log, and death with the parent."""
    if os.getpgrp() != os.getpid():
        os.setsid()
    die_with_parent()
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(fd, stream)
    os.close(fd)


if __name__ == "__main__":
    asked = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    run(sys.argv[1], socket.socket(fileno=int(sys.argv[2])), asked)
