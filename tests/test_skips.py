import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import skips

ROOT = Path(__file__).parent.parent
TESTS = """
import pytest

def test_that_runs():
    pass

@pytest.mark.parametrize("number", range(3))
def test_that_is_skipped(number):
    pytest.skip("{reason}")
"""
FITTING = "root may write everywhere" if os.geteuid() == 0 else "mounting a small disk takes root"
OTHER = "mounting a small disk takes root" if os.geteuid() == 0 else "root may write everywhere"


def run(folder: Path, reason: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_some.py").write_text(TESTS.format(reason=reason))
    plugins = ["-p", "tests.skips", "-p", "xdist", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *plugins, f"--rootdir={folder}", *options, folder]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_skips_are_counted_by_reason_at_the_end(tmp_path: Path) -> None:
    done = run(tmp_path, "there is no moon")
    assert done.returncode == 0
    assert "skipped: 3" in done.stdout
    assert "    3  there is no moon  not on the list in tests/skips.py: fails in CI" in done.stdout


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("reason", "code"), [("there is no moon", 1), (FITTING, 0), (OTHER, 1)])
def test_in_ci_a_skip_fails_unless_its_reason_is_listed_and_true(
    reason: str, code: int, workers: str, tmp_path: Path
) -> None:
    assert run(tmp_path, reason, f"-n{workers}", CI="true").returncode == code


def test_node_may_be_missing_only_where_nothing_can_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None)
    for may_install in (True, False):
        monkeypatch.setattr(skips, "MAY_INSTALL", may_install)
        assert skips.allowed("there is no Node.js here") is not may_install


def test_the_table_names_each_reasons_condition() -> None:
    assert f"({skips.ALLOWED[FITTING][0]})" in skips.table(Counter([FITTING]))[0]
