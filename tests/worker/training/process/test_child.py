"""The child as a process: whom it obeys, when it dies, what it refuses."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fettle.registry.catalog import STARTER
from tests.worker.training.children import SILENCE, Child, of, rows, work_folder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]
LONG = 50  # epochs that nobody waits for


def error_of(child: Child) -> dict[str, str | None]:
    """Its last line, when that is an error and the exit status says so too."""
    last = child.rest()[-1]
    assert last.pop("type") == "error", last
    assert child.exit_code() == 1
    return last


def test_a_child_leads_a_session_of_its_own(tmp_path: Path) -> None:
    child = Child(work_folder(tmp_path / "work", rows(8), n_epochs=LONG))
    child.until("event")
    assert child.process.pid is not None
    assert os.getsid(child.process.pid) == child.process.pid
    child.kill()


def test_a_child_whose_supervisor_hangs_up_dies_at_once(tmp_path: Path) -> None:
    child = Child(work_folder(tmp_path / "work", rows(8), n_epochs=LONG))
    child.until("metrics")
    child.lines.close()  # type: ignore[attr-defined] # a generator, which holds the socket open
    child.socket.close()
    assert child.exit_code() == 3
    assert not (child.folder / "out" / "adapter").exists()


def test_a_child_dies_with_its_parent_even_if_the_socket_stays_open(tmp_path: Path) -> None:
    folder = work_folder(tmp_path / "work", rows(8), n_epochs=LONG)
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    start = "import subprocess, sys; subprocess.run([sys.executable, '-m', *sys.argv[1:]], pass_fds=[int(sys.argv[3])])"
    command = [sys.executable, "-c", start, "worker.training", str(folder), str(theirs.fileno())]
    parent = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT)
    theirs.close()
    while not (folder / "log.txt").exists():  # made once the child stands alone
        time.sleep(0.01)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert ours.recv(1) == b""  # the child had the only other end


NO_NETWORK = """
import os, pathlib, sys

def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        pathlib.Path(os.environ["CALLS"]).open("a").write(f"{event} {args}\\n")

sys.addaudithook(watch)
"""


def test_a_spawned_child_trains_and_calls_nobody(tmp_path: Path) -> None:
    """Without a forkserver, from the command line, with an environment that holds nothing else."""
    folder = work_folder(tmp_path / "work", rows(8), rows(4, "held_out"))
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    calls = tmp_path / "calls.txt"
    calls.touch()
    ours, theirs = socket.socketpair()
    ours.settimeout(SILENCE)
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.training", str(folder), str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path), "CALLS": str(calls), "OMP_NUM_THREADS": "1"},
    )
    theirs.close()
    lines = [json.loads(line) for line in ours.makefile()]
    assert process.wait(SILENCE) == 0
    assert lines[-1]["type"] == "done"
    assert calls.read_text() == ""


def test_the_module_that_a_supervisor_imports_loads_no_torch() -> None:
    check = "import sys, worker.training.__main__; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_rows_that_are_too_long_end_the_job_with_the_way_out(tmp_path: Path) -> None:
    long = {"prompt": "Count.", "completion": " ".join(map(str, range(100)))}
    error = error_of(Child(work_folder(tmp_path / "work", [*rows(6), long], max_seq_length=128)))
    assert (error["code"], error["param"]) == ("rows_too_long", "max_seq_length")
    assert "1 of the 7 rows of training_file have more than max_seq_length=128 tokens" in str(error["message"])


def test_a_run_that_diverges_names_step_and_learning_rate(tmp_path: Path) -> None:
    """The first step breaks the weights, the second one sees it."""
    child = Child(work_folder(tmp_path / "work", rows(8), n_epochs=4, learning_rate=1e30))
    error = error_of(child)
    assert (error["code"], error["param"]) == ("diverged", "learning_rate")
    assert "train_loss is nan at step 2 with learning rate" in str(error["message"])


def test_weights_that_are_no_numbers_are_never_published(tmp_path: Path) -> None:
    """One step, which breaks the weights, and no loss is reckoned after it."""
    child = Child(work_folder(tmp_path / "work", rows(8), n_epochs=1, learning_rate=1e60))
    error = error_of(child)
    assert (error["code"], error["param"]) == ("diverged", "learning_rate")
    assert "weights that are not finite after step 1" in str(error["message"])
    assert not (child.folder / "out" / "adapter").exists()


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    folder = work_folder(tmp_path / "work", rows(8))
    checkpoint = folder / "out" / "checkpoint-1"
    checkpoint.mkdir(parents=True)
    (checkpoint / "optimizer.pt").symlink_to("/dev/full")
    error = error_of(Child(folder))
    assert error["code"] == "disk_full"


def test_any_other_failure_names_the_exception_and_logs_where_it_came_from(tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(STARTER, base)
    (base / "model.safetensors").write_bytes(b"no weights")
    child = Child(work_folder(tmp_path / "work", rows(8), base=base))
    error = error_of(child)
    assert error["code"] == "training_failed"
    assert str(error["message"]).startswith("SafetensorError: ")
    assert "Traceback (most recent call last)" in child.log


def test_a_checkpoint_without_validation_is_announced_at_once(tmp_path: Path) -> None:
    lines = Child(work_folder(tmp_path / "work", rows(8))).rest()
    (checkpoint,) = of("checkpoint", lines)
    assert checkpoint["metrics"].keys() == {"train_loss", "train_mean_token_accuracy", "step"}
