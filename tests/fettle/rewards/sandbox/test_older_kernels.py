"""What older kernels' Landlock does not hold is held by the system call filter: emulated by asking for fewer rights."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fettle.rewards.sandbox import Limits, Sandbox, Walls, landlock

QUICK = Limits(seconds=3.0, memory_bytes=1 << 30)
# Each prints the names of what it was allowed to do; what only fails for its arguments counts as allowed
FCNTL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
COMMANDS = dict(F_SETFL_ASYNC=(4, 0o20000), F_GETLK=(5, 0), F_SETLK=(6, 0), F_SETOWN=(8, os.getpid()), F_GETOWN=(9, 0),
    F_SETSIG=(10, 9), F_GETSIG=(11, 0), F_SETOWN_EX=(15, 0), F_GETOWN_EX=(16, 0), F_OFD_SETLK=(37, 0),
    F_SETLEASE=(1024, 1), F_GETLEASE=(1025, 0), F_NOTIFY=(1026, 1), F_SETPIPE_SZ=(1031, 1 << 20), F_ADD_SEALS=(1033, 0))
def grade(sample, item):
    pipe = next(fd for fd in [*range(3, 64), 0] if libc.fcntl(fd, 1, 0) >= 0)
    for name, (command, argument) in COMMANDS.items():
        ctypes.set_errno(0)
        if libc.fcntl(pipe, command, argument) >= 0 or ctypes.get_errno() != 1:
            print(name)
    assert libc.fcntl(pipe, 3, 0) >= 0  # F_GETFL, and setting what signals nobody
    assert libc.fcntl(pipe, 4, libc.fcntl(pipe, 3, 0)) == 0
    return 1.0
"""
OPEN = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
WAYS = dict(trunc=0o1000, write=1, update=2, append=0o2000, create=0o100, tmpfile=0o20200001, asynchronous=0o20000,
    trunc_write=0o1001, path=0o10000000)
NUMBERS = dict(open=2, truncate=76, creat=85, ftruncate=77, rename=82, unlink=87, chmod=90, openat2=437)
def grade(path, item):
    for name, flags in WAYS.items():
        for call in (lambda: libc.open(path.encode(), flags, 0o600),
                     lambda: libc.syscall(257, -100, path.encode(), flags, 0o600)):
            ctypes.set_errno(0)
            if call() >= 0 or ctypes.get_errno() != 1:
                print(name)
    for name, number in NUMBERS.items():
        ctypes.set_errno(0)
        if os.uname().machine == "x86_64" and name != "open" and libc.syscall(number, path.encode(), 0, 0, 24) >= 0:
            print(name)
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    return 1.0
"""
# Fails with EINVAL or the like outside, never with EPERM
CODE = """
const vm = require("vm"), v8 = require("v8");
function grade(sample, item) {
  for (const flag of ["--no-jitless", "--expose-wasm"]) v8.setFlagsFromString(flag);
  const bytes = "0,97,115,109,1,0,0,0,1,5,1,96,0,1,127,3,2,1,0,7,5,1,1,102,0,0,10,6,1,4,0,65,42,11";
  const made = `new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([${bytes}])))`;
  return vm.runInNewContext(made).exports.f();
}
"""


@pytest.fixture(params=[1, 2, 3, 4, 5])
def older(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The Landlock version of Linux 5.13, 5.19, 6.2, 6.7 and 6.10."""
    abi: int = request.param
    if landlock.abi() < abi:
        pytest.skip("this kernel is older still")
    monkeypatch.setattr(landlock, "abi", lambda: abi)
    return abi


@pytest.mark.usefixtures("older")
def test_no_command_of_fcntl_reaches_another_process_or_a_file() -> None:
    with Sandbox(FCNTL, QUICK, walls=Walls()) as sandbox:
        (result,) = sandbox.grade([({}, {})])
    assert (result.value, result.printed) == (1.0, "")


@pytest.mark.usefixtures("older")
def test_a_readable_file_cannot_be_changed_however_it_is_opened(
    public_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = public_folder / "library.py"
    file.write_text("x" * 100)
    file.chmod(0o666)  # as if the sandbox's user owned it
    own = landlock.library()
    monkeypatch.setattr(landlock, "library", lambda: [*own, str(file)])
    with Sandbox(OPEN, QUICK, walls=Walls()) as sandbox:
        (result,) = sandbox.grade([(str(file), {})])
    assert (result.value, result.printed) == (1.0, ""), result
    assert file.read_text() == "x" * 100


@pytest.mark.parametrize("source", [FCNTL, OPEN])
def test_the_same_calls_succeed_without_a_sandbox(source: str, tmp_path: Path) -> None:
    """The positive control: calls that cannot work would prove nothing."""
    file = tmp_path / "library.py"
    file.write_text("x" * 100)
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{source}\ngrade({str(file)!r}, {{}})"],
        capture_output=True,
        text=True,
        timeout=30,
        input="",
    )
    wanted = {"F_SETFL_ASYNC", "F_SETOWN", "F_SETSIG"} if source is FCNTL else {"trunc", "write", "truncate"}
    assert wanted <= set(ran.stdout.split()), ran.stderr


@pytest.mark.parametrize("frozen", [True, False])
def test_flags_set_at_run_time_bring_no_machine_code_back(frozen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """frozen: as Node.js 20 and newer can; on Node.js 18 the system call filter alone holds it."""
    if shutil.which("node") is None:
        pytest.skip("there is no Node.js here")
    from fettle.rewards.sandbox import languages

    if not frozen:
        monkeypatch.setattr(languages, "freezes_flags", lambda _: False)
    open_again = languages.NODE_GUEST.replace("setFlagsFromString = frozen", "unused = 0")
    assert open_again != languages.NODE_GUEST
    monkeypatch.setattr(languages, "NODE_GUEST", open_again)
    with Sandbox(CODE, QUICK, language="javascript", walls=Walls()) as sandbox:
        (result,) = sandbox.grade([({}, {})])
    assert result.value is None
    assert "ended: signal" in (result.error or "")


def test_setting_a_flag_is_an_error_of_one_sample() -> None:
    if shutil.which("node") is None:
        pytest.skip("there is no Node.js here")
    with Sandbox(CODE, QUICK, language="javascript") as sandbox:
        (result,) = sandbox.grade([({}, {})])
    assert "V8's flags cannot be changed here" in (result.error or "")
