import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from fettle.errors import TrainingFailed
from fettle.host.devices import Slot
from tests.e2e.conftest import wait_for
from tests.worker.training.children import rows, work_folder
from worker.jobs.training_process import Child, ProcessLauncher, describe_exit
from worker.training.process.channel import LOST_RANK

ROOT = Path(__file__).parents[3]


def test_an_exit_is_described_by_its_signal_and_likely_cause() -> None:
    assert describe_exit(-signal.SIGKILL).startswith(
        "The training process was killed by SIGKILL (often: the machine ran"
    )
    assert describe_exit(-signal.SIGSEGV) == "The training process was killed by SIGSEGV"
    assert describe_exit(LOST_RANK).endswith("one of the processes that trained the job together died")
    assert describe_exit(3) == "The training process ended with exit code 3 before it was done"


async def test_a_line_over_the_limit_fails_the_job_with_a_way_out() -> None:
    reader = asyncio.StreamReader(limit=10)
    reader.feed_data(b'{"type": "score", "rollouts": []}\n')
    child = Child(cast(Any, None), reader, cast(Any, None))
    with pytest.raises(TrainingFailed, match="lower batch_size or group_size"):
        await anext(child.lines(pause=1))


class SlowStart:
    """A process whose start takes until the test lets it go on."""

    pid: int | None = None
    killed = False

    def __init__(self, **_: object) -> None:
        self.starting, self.go_on = threading.Event(), threading.Event()

    def start(self) -> None:
        self.starting.set()
        assert self.go_on.wait(30)
        self.pid = 1

    def kill(self) -> None:
        self.killed = True


async def test_a_child_whose_start_is_cancelled_is_killed_as_soon_as_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher, process = ProcessLauncher(warm=False), SlowStart()
    monkeypatch.setattr(launcher, "context", SimpleNamespace(Process=lambda **_: process))
    starting = asyncio.create_task(launcher.start(tmp_path, Slot()))
    await asyncio.to_thread(process.starting.wait, 30)
    starting.cancel()
    await asyncio.sleep(0)
    process.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert process.killed


WORKER = """
import asyncio, pathlib, sys
from fettle.host.devices import Slot
from fettle.errors import TrainingFailed
from worker.jobs.training_process import ProcessLauncher

async def main():
    child = await ProcessLauncher(warm=True).start(pathlib.Path(sys.argv[1]), Slot())
    async for line in child.lines(1):
        print(child.process.pid, flush=True)
        await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process cannot be tied to its parent")
def test_a_frozen_child_dies_with_its_worker(tmp_path: Path) -> None:
    """It cannot see the end of its stream, and holds the pipe that keeps the forkserver alive."""
    folder = work_folder(tmp_path / "work", rows(8), n_epochs=1000)
    script = tmp_path / "host.py"
    script.write_text(WORKER)
    host = subprocess.Popen(
        [sys.executable, script, folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert host.stdout is not None
    child = psutil.Process(int(host.stdout.readline()))
    forkserver = child.parent()
    assert forkserver is not None
    child.suspend()
    host.kill()
    host.wait()
    host.stdout.close()
    try:
        for process in (child, forkserver):
            wait_for(lambda process=process: ended(process), 10, f"{process} to end")  # type: ignore[misc]
    finally:
        for process in (child, forkserver):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)  # nobody may be there to reap it
    except psutil.NoSuchProcess:
        return True
