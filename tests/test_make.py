"""The make targets and the CI script, planned but not run."""

import os
import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def make(*arguments: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
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
