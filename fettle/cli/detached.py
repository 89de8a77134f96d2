"""`fettle up --detach` and `fettle down`: the service in the background."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fettle.cli.terminal import console
from fettle.cli.up import START_SECONDS, UpError, say_where
from fettle.host import data_folder
from fettle.settings import Settings

UP = "Fettle is up"  # in the log, once it serves
STOP_SECONDS = 60  # beyond FETTLE_DRAIN_SECONDS


def start(settings: Settings) -> None:
    """Returns once it serves. Raises UpError with the log's last lines when it does not."""
    data = settings.data.absolute()
    data_folder.prepare(data)
    (data / "logs").mkdir(exist_ok=True)
    log = data / "logs" / "up.log"
    before = log.stat().st_size if log.is_file() else 0
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "fettle", "up", "--no-link"],  # a log is no place for it
            env={**os.environ, "FETTLE_DATA": str(data), "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,  # it outlives this terminal
        )
    try:
        with console.status("starting"):
            wait(process, log, before)
    except BaseException:  # Ctrl-C too: nothing stays behind that nobody was told of
        process.terminate()
        process.wait()
        raise
    say_where(settings, data, "`fettle down` stops it: a running job saves a checkpoint first")


def wait(process: "subprocess.Popen[bytes]", log: Path, before: int) -> None:
    deadline = time.monotonic() + START_SECONDS + 10
    while UP not in (said := written(log, before)):
        if process.poll() is not None:
            raise UpError(said.strip().removeprefix("error ") or f"Fettle did not start. Its log: {log}")
        if time.monotonic() > deadline:
            raise UpError(f"Fettle was not ready after {START_SECONDS} seconds. The logs are in {log.parent}.")
        time.sleep(0.1)


def written(log: Path, before: int) -> str:
    with log.open("rb") as stream:
        stream.seek(before)
        return stream.read(1 << 20).decode(errors="replace")


def stop(settings: Settings) -> None:
    """Waits until every part has stopped. Raises UpError when nothing runs on the data folder."""
    lock = settings.data / "lock"
    if not lock.is_file() or free(lock):
        raise UpError(f"Fettle is not running on {settings.data.absolute()}. Set FETTLE_DATA if it runs on another.")
    number = lock.read_text().strip()
    if not number.isdigit():
        raise UpError(f"{lock} does not say which process is running. Stop `fettle up` with Ctrl-C.")
    os.kill(int(number), signal.SIGTERM)
    deadline = time.monotonic() + settings.drain_seconds + STOP_SECONDS
    with console.status("stopping"):
        while not free(lock):
            if time.monotonic() > deadline:
                raise UpError(f"Fettle (process {number}) is still stopping. Its log: {settings.data / 'logs'}")
            time.sleep(0.1)
    console.print("Fettle has stopped.")


def free(lock: Path) -> bool:
    """Whether no `fettle up` uses the folder."""
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
