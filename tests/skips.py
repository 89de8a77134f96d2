"""A pytest plugin: a table of what was skipped and why. In CI a skip that is not on the list below fails the run."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fettle.rewards.sandbox import cgroup, walls_of

ROOT = os.geteuid() == 0
IN_CI = os.environ.get("CI") == "true"
GSM8K = Path(__file__).parents[2] / "shared" / "data" / "gsm8k"
MAY_INSTALL = ROOT and shutil.which("apt-get") is not None and os.environ.get("FETTLE_TEST_INSTALL") != "0"


def no_node() -> bool:
    return shutil.which("node") is None and not MAY_INSTALL


def no_chromium() -> bool:
    return shutil.which("chromium") is None and not MAY_INSTALL


def no_bubblewrap() -> bool:
    """Absent where nothing may be installed, or without the rights that it needs, as in most containers."""
    return walls_of().bwrap is None and (shutil.which("bwrap") is not None or not MAY_INSTALL)


# reason: what makes it legitimate in CI, in words and as a check of this machine
ALLOWED: dict[str, tuple[str, Callable[[], bool]]] = {
    "root may write everywhere": ("the tests run as root", lambda: ROOT),
    "only root can become another user": ("the tests run as an ordinary user", lambda: not ROOT),
    "mounting a small disk takes root": ("the tests run as an ordinary user", lambda: not ROOT),
    "this process may make no memory group": ("no cgroup v2 that hands memory on", lambda: cgroup.find() is None),
    "there is no Node.js here": ("no Node.js, and nothing may be installed", no_node),
    "Chromium is not installed": ("no Chromium, and nothing may be installed", no_chromium),
    "bubblewrap does not work here": ("bubblewrap absent and not installable, or without rights", no_bubblewrap),
    "neither bubblewrap nor a memory group can be had here": (
        "bubblewrap absent and not installable, or without rights; no memory group",
        lambda: no_bubblewrap() and cgroup.find() is None,
    ),
    "GSM8K is not beside the project": ("its files are not passed on with the project", lambda: not GSM8K.is_dir()),
}


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Before the terminal's summary, which shows the table."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(session.config, "workerinput") or reporter is None:
        return (yield)
    reasons = Counter(reason_of(report) for report in reporter.stats.get("skipped", []))
    session.config.stash[REASONS] = reasons
    if IN_CI and any(not allowed(reason) for reason in reasons) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return (yield)


REASONS = pytest.StashKey[Counter[str]]()


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")


def allowed(reason: str) -> bool:
    return reason in ALLOWED and ALLOWED[reason][1]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reasons = config.stash.get(REASONS, Counter())
    if not reasons:
        return
    terminalreporter.section(f"skipped: {sum(reasons.values())}")
    for line in table(reasons):
        terminalreporter.write_line(line)


def table(reasons: Counter[str]) -> list[str]:
    wide = max(map(len, reasons))
    return [
        f"{count:5}  {reason:{wide}}  "
        + (f"({ALLOWED[reason][0]})" if allowed(reason) else "not on the list in tests/skips.py: fails in CI")
        for reason, count in reasons.most_common()
    ]
