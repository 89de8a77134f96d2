"""What the sandbox promises besides holding attacks: it fails closed, ends what overruns, and keeps samples apart."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fettle.rewards import Sample
from fettle.rewards.sandbox import (
    Limits,
    LoadError,
    Sandbox,
    SandboxError,
    Walls,
    bubblewrap,
    cgroup,
    guests,
    landlock,
    languages,
    level,
    walls,
    walls_of,
)
from tests.fettle.rewards.sandbox.attacks import ATTACKS
from tests.fettle.rewards.sandbox.sessions import gone, running

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")
QUICK = Limits(seconds=10.0, memory_bytes=1 << 30)
ONE = "def grade(sample, item):\n    return 1.0"
HARMLESS = [  # attacks that succeed where nothing confines them, and hurt nobody
    "network, a TCP connection",
    "network, a datagram",
    "read /etc/passwd",
    "read a secret file by its path",
    "list a folder",
    "own environment",
    "own environment in /proc",
    "fork",
    "subprocess",
    "write to the host",
    "symbolic link out",
    "hard link to a secret",
    "import of what is installed",
    "sleep",
]


@pytest.mark.parametrize("name", HARMLESS)
def test_the_attack_succeeds_without_a_sandbox(name: str, tmp_path: Path) -> None:
    """The positive control: an attack that cannot work would prove nothing."""
    secret = tmp_path / "secret"
    secret.write_text("canary")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        targets = {
            "port": listener.getsockname()[1],
            "secret": str(secret),
            "target": str(tmp_path / "target"),
            "folder": str(tmp_path),
            "parent": os.getpid(),
            "ours": str(Path(__file__).parents[4]),
            "installed": str(Path(pytest.__file__).parents[1]),
        }
        source = ATTACKS[name].replace("3600", "0") + f"\nprint(grade({{}}, {targets!r}))"
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", source],
            env={"FETTLE_CANARY": "canary"},
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.stdout.splitlines()[-1:] == ["1.0"], done.stderr


@pytest.fixture
def unproved() -> Iterator[None]:
    """As in a process that has not tried what works here, and leaving it so."""
    walls_of.cache_clear()
    yield
    walls_of.cache_clear()


@pytest.mark.usefixtures("unproved")
class TestItFailsClosed:
    def test_without_landlock_nothing_runs_and_the_way_out_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(landlock, "abi", lambda: 0)
        with pytest.raises(
            SandboxError, match=r"Linux 5\.13 .* The code was not run\. Use such a kernel, or reward functions"
        ):
            Sandbox(ONE, QUICK)

    def test_with_a_filter_that_the_kernel_refuses_nothing_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(languages, "program", lambda: b"\xff" * 8)
        with pytest.raises(SandboxError, match=r"cannot confine user code\. The code was not run"):
            Sandbox(ONE, QUICK)

    def test_on_a_machine_without_a_filter_nothing_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platform.machine", lambda: "sparc64")
        with pytest.raises(SandboxError, match="no system call filter for 'sparc64'"):
            Sandbox(ONE, QUICK)

    @needs_node
    def test_the_door_into_node_opens_to_no_other_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        become = ("/bin/true",)
        monkeypatch.setitem(
            languages.LANGUAGES, "javascript", lambda limits: replace(languages.javascript(limits), become=become)
        )
        with pytest.raises(SandboxError, match="PermissionError"):
            Sandbox(ONE, QUICK, language="javascript", walls=Walls())


@pytest.mark.usefixtures("unproved")
class TestWhatConfines:
    def test_it_has_a_name_of_what_was_proved(self) -> None:
        parts = level().split("+")
        assert parts[:3] == [f"landlock{landlock.abi()}", "seccomp", "rlimits"]
        assert ("uid" in parts) == (os.geteuid() == 0)
        assert ("bwrap" in parts) == (walls_of().bwrap is not None)
        assert ("cgroup" in parts) == (walls_of().group is not None)
        assert ("paths-visible" in parts) == (walls_of().bwrap is None)

    @pytest.mark.parametrize("look", ["os.stat", "os.lstat", "os.readlink", "lambda path: os.access(path, 0) or 1 / 0"])
    def test_the_level_says_whether_paths_can_be_looked_up(self, look: str, public_folder: Path) -> None:
        """Landlock has no right for it, and no system call filter sees a path."""
        link = public_folder / "link"
        link.symlink_to("/etc/passwd")
        source = f"import os\ndef grade(path, item):\n    ({look})(path)\n    return 1.0"
        for each in {walls_of(), Walls()}:
            with Sandbox(source, QUICK, walls=each) as sandbox:
                (result,) = sandbox.grade([(str(link), {})])
            assert (result.value == 1.0) == (each.bwrap is None)

    def test_a_bubblewrap_that_does_not_work_is_done_without(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """As in a container: the program is there, and user namespaces are not."""
        broken = tmp_path / "bwrap"
        broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
        broken.chmod(0o755)
        monkeypatch.setattr(bubblewrap, "find", lambda: str(broken))
        monkeypatch.setattr(cgroup, "find", lambda: None)
        assert walls_of() == Walls()
        assert "bwrap" not in level()

    def test_without_bubblewrap_nothing_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bubblewrap, "find", lambda: None)
        monkeypatch.setattr(cgroup, "find", lambda: None)
        with Sandbox(ONE, QUICK) as sandbox:
            assert sandbox.walls == Walls()
            assert sandbox.grade([({}, {})])[0].value == 1.0

    def test_walls_that_hold_but_do_not_answer_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(walls.PROBES, "python", "def grade(sample, item): return 0.5")
        with pytest.raises(SandboxError, match="returns no results"):
            level()

    def test_behind_bubblewrap_there_is_no_file_but_the_interpreters(self) -> None:
        """Landlock aside: what the mount namespace holds, asked before anything else is closed."""
        bwrap = walls_of().bwrap
        if bwrap is None:
            pytest.skip("bubblewrap does not work here")
        command = bubblewrap.command(bwrap, languages.interpreter(), landlock.library())
        look = "import os; print(*map(os.path.exists, ('/etc/passwd', '/proc/1/environ', '/tmp')), os.getpid() < 9)"
        run = [*command, languages.interpreter(), "-I", "-S", "-c", look]
        done = subprocess.run(run, env={}, capture_output=True, text=True, timeout=30)
        assert done.stdout.split() == ["False", "False", "False", "True"], done.stderr


class TestItLoads:
    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("def grade(:", "SyntaxError"),
            ("x = 1", "defines none of: grade, reward"),
            ("1 / 0", "ZeroDivisionError"),
            ("while True: pass", "it did not finish in time"),
            ("import numpy", "No module named 'numpy'"),
            ("#" * 256_001, "the limit is 256,000"),
        ],
    )
    def test_source_that_does_not_load_says_why(self, source: str, words: str) -> None:
        with pytest.raises(LoadError) as caught:
            Sandbox(source, QUICK)
        assert words in str(caught.value)

    def test_either_name_will_do_and_grade_comes_first(self) -> None:
        with Sandbox("def reward(prompt, completion, example):\n    return len(prompt + completion)", QUICK) as sandbox:
            assert sandbox.function == "reward"
            assert sandbox.grade([("ab", "c", {})])[0].value == 3.0
        with Sandbox(f"{ONE}\nreward = grade", QUICK) as sandbox:
            assert sandbox.function == "grade"


class TestItStarts:
    def test_without_anything_of_our_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started: list[dict[str, Any]] = []
        popen = subprocess.Popen
        monkeypatch.setattr(subprocess, "Popen", lambda *given, **more: started.append(more) or popen(*given, **more))
        with Sandbox(ONE, QUICK, walls=Walls()):
            assert {*started[-1]["env"]} <= {"LD_LIBRARY_PATH"}

    def test_only_as_the_user_that_it_should_become(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(guests, "unused_id", lambda _: 54321)
        monkeypatch.setattr(guests.Guest, "receive", lambda *_: {"ready": 54322})
        with pytest.raises(SandboxError, match="cannot confine user code"):
            Sandbox(ONE, QUICK, walls=Walls())


class TestSamples:
    def test_each_has_its_own_output_and_error(self) -> None:
        source = "def grade(sample, item):\n    print('at', item)\n    return 1 / item"
        with Sandbox(source, QUICK) as sandbox:
            first, second, third = sandbox.grade([({}, 1), ({}, 0), ({}, 4)])
        assert (first.value, first.printed) == (1.0, "at 1\n")
        assert second.value is None and second.printed == "at 0\n"
        assert second.error is not None and second.error.endswith("ZeroDivisionError: division by zero\n")
        assert "line 3" in second.error and "guest" not in second.error
        assert third.value == 0.25

    def test_an_error_shows_the_users_own_lines_and_nothing_of_this_machine(self) -> None:
        source = "def pick(text):\n    from json import nothing\n\n\ndef grade(sample, item):\n    return pick(item)\n"
        with Sandbox(source) as sandbox:
            (result,) = sandbox.grade([({}, {})])
        assert result.error is not None
        assert [line.strip() for line in result.error.splitlines() if "^" not in line] == [
            'File "<grader>", line 6, in grade',
            "return pick(item)",
            'File "<grader>", line 2, in pick',
            "from json import nothing",
            "ImportError: cannot import name 'nothing' from 'json'",
        ]

    def test_one_that_overruns_costs_its_own_seconds_only(self) -> None:
        source = "def grade(sample, item):\n    while item < 0: pass\n    return item"
        with Sandbox(source, Limits(seconds=2)) as sandbox:
            begun = time.monotonic()
            results = sandbox.grade([({}, 1), ({}, -1), ({}, 3)])
        assert [result.value for result in results] == [1.0, None, 3.0]
        assert results[1].error == "TimeoutError: no result within 2 seconds"
        assert time.monotonic() - begun < 60

    def test_one_that_ends_its_process_costs_no_other(self) -> None:
        source = "import os\ndef grade(sample, item):\n    if item < 0: os._exit(3)\n    return item"
        with Sandbox(source, QUICK) as sandbox:
            results = sandbox.grade([({}, 1), ({}, -1), ({}, 3), ({}, 4)])
        assert [result.value for result in results] == [1.0, None, 3.0, 4.0]
        assert results[1].error == "The grader's process ended: exit status 3"

    def test_a_guest_that_stops_reading_does_not_hold_us_up(self) -> None:
        source = "import time\ndef grade(sample, item):\n    time.sleep(item)\n    return 1.0"
        with Sandbox(source, Limits(seconds=0.5)) as sandbox:
            assert sandbox.guest is not None
            sandbox.guest.send({"type": "grade", "samples": [({}, 3600)]})
            begun = time.monotonic()
            (result,) = sandbox.grade([({"output_text": "x" * 4_000_000}, 0)])
        assert result.error is not None and "no result within" in result.error
        assert time.monotonic() - begun < 60

    @pytest.mark.parametrize("depth", [200, 300, 1000, 100_000])
    def test_a_completion_of_deep_json_harms_no_other(self, depth: int) -> None:
        deep = Sample("", "[" * depth + "]" * depth)
        assert (deep.namespace["output_json"] is None) == (depth > 254)
        with Sandbox(ONE, QUICK) as sandbox:
            assert [result.value for result in sandbox.grade([(deep.namespace, {}), ({}, {})])] == [1.0, 1.0]

    def test_bools_and_integers_are_numbers(self) -> None:
        with Sandbox("def grade(sample, item):\n    return item", QUICK) as sandbox:
            assert [result.value for result in sandbox.grade([({}, True), ({}, 3), ({}, -0.5)])] == [1.0, 3.0, -0.5]


class TestNothingIsLeft:
    @pytest.mark.parametrize("language", ["python", pytest.param("javascript", marks=needs_node)])
    def test_the_guest_dies_with_its_host_and_all_that_stands_around_it(self, language: str) -> None:
        source = (
            "import json, os\n"
            "from fettle.rewards.sandbox import Sandbox\n"
            f"sandbox = Sandbox({walls.PROBES[language]!r}, language={language!r})\n"
            "print(json.dumps(sandbox.guest.process.pid), flush=True)\n"
            "os.kill(os.getpid(), 9)"
        )
        done = subprocess.run(
            [sys.executable, "-c", source], capture_output=True, text=True, cwd=Path(walls.__file__).parents[3]
        )
        assert gone(json.loads(done.stdout)), "the guest lives"

    def test_a_closed_sandbox_leaves_no_process(self) -> None:
        with Sandbox(ONE, QUICK) as sandbox:
            assert sandbox.guest is not None
            session = sandbox.guest.process.pid
            assert running(session)
        assert gone(session)

    def test_many_sandboxes_one_after_another_leave_no_open_file(self) -> None:
        before = len([*Path("/proc/self/fd").iterdir()])
        for _ in range(5):
            with Sandbox(ONE, QUICK) as sandbox:
                sandbox.grade([({}, {})])
        assert len([*Path("/proc/self/fd").iterdir()]) == before
