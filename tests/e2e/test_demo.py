"""`make demo`, as a user runs it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from examples.demo import ASKED, Pupil, say_what_next
from examples.evaluation import Score
from fettle.cli.up import free_port
from tests.e2e.conftest import wait_for

pytestmark = pytest.mark.slow

MARKS = r"^(base|SFT|GRPO) +(\d+)% +(\d+)%"  # of the exam: right answers, reasoned ones


@pytest.mark.timeout(1200)
def test_both_lessons_teach_reasoning_and_a_kept_demo_waits_for_votes_and_leaves_no_process(tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "output"
    port = free_port()
    env = {**os.environ, "FETTLE_DATA": str(data), "FETTLE_PORT": str(port), "COLUMNS": "100", "KEEP": "1"}
    with output.open("w") as out:
        demo = subprocess.Popen([sys.executable, "-m", "examples.demo"], env=env, stdout=out, stderr=out)
    try:
        wait_for(lambda: demo.poll() is not None or "until Ctrl-C." in output.read_text(), 900, "the demo to be done")
        printed = output.read_text()
        assert demo.poll() is None, printed
        right, reasoned = (
            {name: int(shares[place]) for name, *shares in re.findall(MARKS, printed, re.MULTILINE)} for place in (0, 1)
        )
        assert right.keys() == {"base", "SFT", "GRPO"}, printed
        assert min(right["SFT"], right["GRPO"]) >= right["base"] + 30, printed
        assert reasoned["SFT"] >= 95, printed
        assert reasoned["GRPO"] >= 80, printed
        side_by_side = re.findall(r"^  (base|SFT|GRPO) +[✓✗] \S", printed, re.MULTILINE)
        assert side_by_side == ["base", "SFT", "GRPO"], printed
        assert f"http://127.0.0.1:{port}/#/sign-in/" in printed.split("What to try next")[1]
        assert_a_comparison_waits(port, (data / "admin.key").read_text().strip())
    finally:
        demo.send_signal(signal.SIGTERM)  # SIGINT is ignored in what a shell starts in the background
        demo.wait(120)
    assert demo.returncode == 0, output.read_text()
    left = [process.pid for process in psutil.process_iter(["environ"]) if mentions(process, str(data))]
    assert left == []


def assert_a_comparison_waits(port: int, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", headers=headers, timeout=60) as http:
        (comparison,) = http.get("/comparisons").raise_for_status().json()["data"]
        assert comparison["status"] == "ready", comparison
        assert (comparison["progress"]["ready"], comparison["progress"]["votes"]) == (ASKED, 0)
        assert http.get(f"/comparisons/{comparison['id']}/next").raise_for_status().json()["item"]["responses"]


def test_a_demo_that_is_not_kept_says_how_to_open_the_console(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    say_what_next(tmp_path, 8123, [Pupil("base", "starter", Score(0, 0))], kept=False)
    printed = capsys.readouterr().out
    assert f"FETTLE_DATA={tmp_path} FETTLE_PORT=8123 make up" in printed
    assert "http://127.0.0.1:8123/" in printed
    assert str(tmp_path / "admin.key") in printed


def mentions(process: psutil.Process, data: str) -> bool:
    return (process.info["environ"] or {}).get("FETTLE_DATA") == data
