"""What the sandbox promises besides holding attacks: it fails closed, ends what overruns, and keeps samples apart."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fettle.rewards import Sample
from fettle.rewards.sandbox import Limits, LoadError, Sandbox, SandboxError, host, landlock, level
from tests.fettle.rewards.sandbox.attacks import ATTACKS

QUICK = Limits(seconds=1.0, memory_bytes=1 << 30)
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


class TestItFailsClosed:
    def test_without_landlock_nothing_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(landlock, "abi", lambda: 0)
        with pytest.raises(SandboxError, match="it was not run"):
            Sandbox(ONE, QUICK)

    def test_with_a_filter_that_the_kernel_refuses_nothing_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(host, "program", lambda: b"\xff" * 8)
        with pytest.raises(SandboxError, match="cannot confine user code, which was not run"):
            Sandbox(ONE, QUICK)

    def test_on_a_machine_without_a_filter_nothing_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platform.machine", lambda: "sparc64")
        with pytest.raises(SandboxError, match="no system call filter for 'sparc64'"):
            Sandbox(ONE, QUICK)

    def test_what_confines_has_a_name(self) -> None:
        assert level().startswith(f"landlock{landlock.abi()}+seccomp+rlimits")
        assert level().endswith("+uid") == (os.geteuid() == 0)


class TestItLoads:
    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("def grade(:", "SyntaxError"),
            ("x = 1", "defines none of: grade, reward"),
            ("1 / 0", "ZeroDivisionError"),
            ("while True: pass", "it did not come to an end"),
            ("import numpy", "No module named 'numpy'"),
            ("#" * 256_001, "at most 256,000"),
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
            (verdict,) = sandbox.grade([({}, {})])
        assert verdict.error is not None
        assert [line.strip() for line in verdict.error.splitlines() if "^" not in line] == [
            'File "<grader>", line 6, in grade',
            "return pick(item)",
            'File "<grader>", line 2, in pick',
            "from json import nothing",
            "ImportError: cannot import name 'nothing' from 'json'",
        ]

    def test_one_that_overruns_costs_its_own_seconds_only(self) -> None:
        source = "def grade(sample, item):\n    while item: pass\n    return 1.0"
        with Sandbox(source, Limits(seconds=0.3)) as sandbox:
            begun = time.monotonic()
            verdicts = sandbox.grade([({}, 0), ({}, 1), ({}, 0)])
        assert [verdict.value for verdict in verdicts] == [1.0, None, 1.0]
        assert verdicts[1].error == "TimeoutError: no result within 0.3 seconds"
        assert time.monotonic() - begun < 10

    def test_a_guest_that_stops_reading_does_not_hold_us_up(self) -> None:
        source = "import time\ndef grade(sample, item):\n    time.sleep(item)\n    return 1.0"
        with Sandbox(source, Limits(seconds=0.5)) as sandbox:
            assert sandbox.guest is not None
            sandbox.guest.send({"type": "grade", "samples": [({}, 3600)]})
            begun = time.monotonic()
            (verdict,) = sandbox.grade([({"output_text": "x" * 4_000_000}, 0)])
        assert verdict.error is not None and "no result within" in verdict.error
        assert time.monotonic() - begun < 10

    @pytest.mark.parametrize("depth", [200, 300, 1000, 100_000])
    def test_a_completion_of_deep_json_harms_no_other(self, depth: int) -> None:
        deep = Sample("", "[" * depth + "]" * depth)
        assert (deep.namespace["output_json"] is None) == (depth > 254)
        with Sandbox(ONE, QUICK) as sandbox:
            assert [verdict.value for verdict in sandbox.grade([(deep.namespace, {}), ({}, {})])] == [1.0, 1.0]

    def test_bools_and_integers_are_numbers(self) -> None:
        with Sandbox("def grade(sample, item):\n    return item", QUICK) as sandbox:
            assert [verdict.value for verdict in sandbox.grade([({}, True), ({}, 3), ({}, -0.5)])] == [1.0, 3.0, -0.5]

    def test_the_guest_dies_with_its_host(self, tmp_path: Path) -> None:
        source = (
            "import json, os, time\n"
            "from fettle.rewards.sandbox import Sandbox\n"
            f"sandbox = Sandbox({ONE!r})\n"
            "print(json.dumps(sandbox.guest.process.pid), flush=True)\n"
            "os.kill(os.getpid(), 9)"
        )
        done = subprocess.run(
            [sys.executable, "-c", source], capture_output=True, text=True, cwd=Path(host.__file__).parents[3]
        )
        guest = json.loads(done.stdout)
        for _ in range(100):
            if not Path(f"/proc/{guest}").exists() or ") Z " in Path(f"/proc/{guest}/stat").read_text():
                return
            time.sleep(0.05)
        raise AssertionError("the guest lives")
