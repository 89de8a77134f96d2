"""The seccomp profile for pods: the sandbox works under it, and what leaves a container does not."""

import subprocess
import sys
from pathlib import Path

import pytest

PROFILE = Path(__file__).parents[2] / "deploy" / "kubernetes" / "seccomp" / "fettle.json"
REFUSED = {
    "unshare": "import ctypes; ctypes.CDLL(None, use_errno=True).unshare(0x10000000) and error()",
    "ptrace": "import ctypes; ctypes.CDLL(None, use_errno=True).ptrace(16, 1, 0, 0) and error()",
    "mount": "import ctypes; ctypes.CDLL(None, use_errno=True).mount(b'none', b'/mnt', b'tmpfs', 0, None) and error()",
    "bpf": "import ctypes; ctypes.CDLL(None, use_errno=True).syscall(321, 0, 0, 0) and error()",
    "chroot": "import ctypes; ctypes.CDLL(None, use_errno=True).chroot(b'/') and error()",
}
ERROR = "def error(): raise OSError(ctypes.get_errno(), 'refused')\n"
LEVEL = "from fettle.rewards.sandbox import level; print(level())"
GRADE = """
from fettle.rewards.sandbox import Sandbox
with Sandbox("import socket\\n\\ndef grade(sample, item):\\n    socket.create_connection(('127.0.0.1', 1))") as box:
    print(box.grade([[{}, {}]])[0])
"""


def under_profile(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.deploy.under_profile", str(PROFILE), sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_sandbox_confines_by_landlock_under_it() -> None:
    ran = under_profile(LEVEL)
    assert ran.stdout.startswith("landlock"), ran.stderr
    assert "seccomp" in ran.stdout
    assert "landlock0" not in ran.stdout


def test_a_grader_reaches_no_network_under_it() -> None:
    ran = under_profile(GRADE)
    assert "PermissionError" in ran.stdout, ran.stderr


@pytest.mark.parametrize("call", REFUSED)
def test_a_call_that_leaves_a_container_is_refused(call: str) -> None:
    ran = under_profile(ERROR + REFUSED[call])
    assert "PermissionError: [Errno 1]" in ran.stderr, ran.stdout


def test_threads_and_processes_start_under_it() -> None:
    ran = under_profile(
        "import subprocess, threading\n"
        "thread = threading.Thread(target=subprocess.run, args=(['true'],))\n"
        "thread.start(), thread.join(), print('ran')"
    )
    assert ran.stdout == "ran\n", ran.stderr
