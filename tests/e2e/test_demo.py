"""`make demo`, as a user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fettle.cli.up import free_port

pytestmark = pytest.mark.slow

MARKS = r"^(base|SFT|GRPO) +(\d+)% +(\d+)%"  # of the exam: right answers, reasoned ones


def test_both_lessons_teach_reasoning_and_no_process_is_left_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    env = {**os.environ, "FETTLE_DATA": str(data), "FETTLE_PORT": str(free_port()), "COLUMNS": "100"}
    demo = subprocess.run([sys.executable, "-m", "examples.demo"], env=env, capture_output=True, text=True, timeout=900)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    right, reasoned = (
        {name: int(shares[place]) for name, *shares in re.findall(MARKS, demo.stdout, re.MULTILINE)} for place in (0, 1)
    )
    assert right.keys() == {"base", "SFT", "GRPO"}, demo.stdout
    assert min(right["SFT"], right["GRPO"]) >= right["base"] + 30, demo.stdout
    assert reasoned["SFT"] >= 95, demo.stdout
    assert reasoned["GRPO"] >= 80, demo.stdout
    side_by_side = re.findall(r"^  (base|SFT|GRPO) +[✓✗] \S", demo.stdout, re.MULTILINE)
    assert side_by_side == ["base", "SFT", "GRPO"], demo.stdout
    assert str(data / "admin.key") in demo.stdout.split("What to try next")[1]
    left = [process.pid for process in psutil.process_iter(["environ"]) if mentions(process, str(data))]
    assert left == []


def mentions(process: psutil.Process, data: str) -> bool:
    return (process.info["environ"] or {}).get("FETTLE_DATA") == data
