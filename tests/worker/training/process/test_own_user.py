"""Whose files and processes a training child can read, where the worker is root."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle.host import users
from worker.training.process import own_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
ROOT = Path(__file__).parents[4]
CHILD = """
import json, os, subprocess, sys
from pathlib import Path
from worker.training.process import own_user

folder, holder = Path(sys.argv[1]), int(sys.argv[2])
own_user.become(folder)
REACH = f'''
def reached(work):
    try:
        work()
        return True
    except OSError:
        return False
import json, os
capabilities = open("/proc/self/status").read().split("CapEff:")[1].split()[0]
print(json.dumps(dict(
    ids=[*os.getresuid(), *os.getresgid()],
    environment=reached(lambda: open("/proc/{holder}/environ", "rb").read()),
    memory=reached(lambda: open("/proc/{holder}/mem", "rb")),
    root_again=reached(lambda: os.setuid(0)),
    elsewhere=reached(lambda: open("{folder.parent}/elsewhere", "w")),
    spec=reached(lambda: open("{folder}/spec.json").read()),
    out=reached(lambda: open("{folder}/out/x", "w")),
    home=reached(lambda: open(os.environ["HOME"] + "/x", "w")),
    capabilities=int(capabilities, 16),
)))
'''
exec(REACH)
subprocess.run([sys.executable, "-c", REACH], check=True)  # a rank, say
"""


@pytest.fixture
def holder() -> Iterator[int]:
    """A process of root whose environment holds a key."""
    process = subprocess.Popen(["sleep", "600"], env={"FETTLE_SECRET": "canary"})
    while b"canary" not in Path(f"/proc/{process.pid}/environ").read_bytes():  # not before it runs
        time.sleep(0.01)
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "out").mkdir(parents=True)
    (work / "spec.json").write_text(json.dumps({"base_model": {"path": str(tmp_path)}}))
    (work / "spec.json").chmod(0o600)
    return work


@as_root
def test_the_child_and_what_it_starts_reach_their_own_folder_and_no_other_process(folder: Path, holder: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(holder)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    child, rank = map(json.loads, ran.stdout.splitlines())
    assert len(set(child["ids"])) == 1
    assert child["ids"][0] not in (0, 65534)
    assert {name: child[name] for name in ("spec", "out", "home")} == dict.fromkeys(("spec", "out", "home"), True)
    closed = ("environment", "memory", "root_again", "elsewhere")
    assert {name: child[name] for name in closed} == dict.fromkeys(closed, False)
    assert child["capabilities"] in (0, 1 << own_user.DAC_READ_SEARCH)
    assert rank == child


@as_root
def test_two_children_are_two_users(folder: Path) -> None:
    code = "import sys; from pathlib import Path; from worker.training.process import own_user; import os\n"
    code += "own_user.become(Path(sys.argv[1])); print(os.getuid())"
    first, second = (
        subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=60)
        for _ in range(2)
    )
    assert first.stdout and second.stdout
    assert first.stdout != second.stdout


def test_a_folder_closed_to_others_is_told_from_an_open_one(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a").chmod(0o755)
    assert own_user.is_open([Path("/usr/lib")])
    (tmp_path / "a").chmod(0o700)
    assert not own_user.is_open([tmp_path / "a" / "b"])
    assert not own_user.is_open([tmp_path / "missing"])


def test_a_process_that_conceals_itself_shows_its_environment_to_no_other_of_its_user() -> None:
    """As an ordinary user: root may look at any process."""
    code = "from fettle.host import users; users.conceal(); print(flush=True); input()"
    become = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
    plain = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert plain.stdout is not None
        plain.stdout.readline()
        seen = subprocess.run([*become, "cat", f"/proc/{plain.pid}/environ"], capture_output=True, timeout=60)
        owner = Path(f"/proc/{plain.pid}/environ").stat().st_uid
    finally:
        plain.communicate(b"\n", timeout=60)
    assert seen.returncode != 0
    assert owner == 0


def test_a_namespace_without_other_users_is_told(tmp_path: Path) -> None:
    (tmp_path / "map").write_text("0 1000 1\n")
    with pytest.raises(users.NoUser):
        users.unused_id(tmp_path / "map")


@pytest.mark.parametrize("lacking", ["users", "capabilities"])
def test_a_child_that_stays_root_says_so_in_the_log(
    lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise users.NoUser if lacking == "users" else PermissionError

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(users, "unused_id", refuse if lacking == "users" else lambda ids: 2_000_000_001)
    monkeypatch.setattr(own_user, "give", refuse)
    own_user.become(tmp_path)
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["event"]) == ("warning", "training_as_root")
    assert line["why"].endswith({"users": "no other users", "capabilities": "CAP_SETUID"}[lacking])
