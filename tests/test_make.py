"""The make targets and the CI script, planned but not run."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def make(*arguments: str, **environment: str) -> str:
    outer = ("MAKE", "MFLAGS", "FETTLE_TEST_INSTALL")  # what the run that this test is part of was told
    env = {name: value for name, value in os.environ.items() if not name.startswith(outer)} | environment
    return subprocess.run(["make", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout


def test_help_is_the_default_and_names_every_target() -> None:
    help_text = make()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "test-fast", "lint", "bench", "up", "clean", "help"} <= set(targets)
    assert [target for target in targets if f"make {target} " not in help_text] == []


def test_every_target_can_be_planned() -> None:
    planned = make("-n", "demo", "test", "test-fast", "lint", "bench", "up", "clean")
    for command in ("examples.demo", "pytest", "ruff check", "ruff format --check", "mypy", "fettle up"):
        assert f".venv/bin/python -m {command}" in planned


def test_the_real_model_is_prepared_before_its_tests_run() -> None:
    planned = make("-n", "test-real-model")
    assert planned.index("assets.smollm2.make") < planned.index("pytest -m real_model")
    assert "real_model" not in make("-n", "test")


def test_lint_checks_the_layer_law() -> None:
    assert "pytest tests/test_layers.py" in make("-n", "lint")


def test_ci_runs_lint_and_every_test_and_can_be_executed() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text().splitlines() if line and line[0] != "#"]
    assert [shlex.split(line) for line in commands[-2:]] == [["make", "lint"], ["make", "test"]]
    assert commands[0] == "set -euo pipefail"
    assert "export CI=true" in script.read_text()


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """A machine without the tests' programs, whose apt-get only says what it is given."""
    tools = ("bash", "id", "sed", "python3", "make")
    for tool in tools:
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    apt = tmp_path / "apt-get"
    apt.write_text('#!/bin/sh\necho apt-get "$@"\n')
    apt.chmod(0o755)
    return {"PATH": str(tmp_path)}


class TestSystem:
    def test_root_installs_what_the_tests_need(self, bare: dict[str, str]) -> None:
        said = make("system", **bare)
        if os.geteuid() == 0:
            assert re.search(r"apt-get install .*bubblewrap.* nodejs", said)
        else:
            assert "sudo apt-get install bubblewrap nodejs" in said and "skipped" in said

    def test_nothing_is_installed_where_that_is_not_wanted(self, bare: dict[str, str]) -> None:
        said = make("system", **bare, FETTLE_TEST_INSTALL="0")
        assert "apt-get install -" not in said
        assert "FETTLE_TEST_INSTALL=0: bubblewrap nodejs" in said and "skipped" in said

    def test_an_index_that_cannot_be_reached_does_not_stop_the_tests(self, bare: dict[str, str]) -> None:
        (Path(bare["PATH"]) / "apt-get").write_text("#!/bin/sh\nexit 100\n")
        assert "skipped" in make("system", **bare)

    def test_where_all_is_there_nothing_is_said(self, bare: dict[str, str]) -> None:
        for program in ("bwrap", "node", "chromium"):
            (Path(bare["PATH"]) / program).symlink_to("/bin/true")
        assert make("system", **bare) == ""

    def test_the_tests_bring_what_they_need(self) -> None:
        for target in ("test", "test-fast"):
            assert "bwrap:bubblewrap" in make("-n", target)
