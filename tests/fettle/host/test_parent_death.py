import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
"""
CHILD = """
import signal, time
from fettle.host.parent_death import die_with_parent
{}
print("ready", flush=True)
time.sleep(120)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("call", ["die_with_parent()", ""])
def test_a_process_ends_with_its_parent_only_after_the_call(call: str) -> None:
    command = [sys.executable, "-c", PARENT, CHILD.format(call)]
    pid = int(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout)
    try:
        assert ended_within(pid, 60.0 if call else 0.3) == bool(call)
    finally:
        if not call:
            subprocess.run(["kill", "-9", str(pid)], check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_program_that_is_run_this_way_gets_sigterm_when_its_parent_ends(tmp_path: Path) -> None:
    note = tmp_path / "note"
    program = f"""
import signal, sys, time
def leave(*_: object) -> None:
    open({str(note)!r}, "w").write("SIGTERM")
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(120)
"""
    parent = PARENT.replace("[sys.executable,", '[sys.executable, "-m", "fettle.host.parent_death", sys.executable,')
    command = [sys.executable, "-c", parent, program]
    pid = int(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout)
    assert ended_within(pid, 60)
    assert note.read_text() == "SIGTERM"


def ended_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False
