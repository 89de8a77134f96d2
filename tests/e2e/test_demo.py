"""`make demo`, as a user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fettle.up import free_port

pytestmark = pytest.mark.slow


def test_it_teaches_reasoning_and_leaves_no_process_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    env = {**os.environ, "FETTLE_DATA": str(data), "FETTLE_PORT": str(free_port()), "COLUMNS": "100"}
    demo = subprocess.run([sys.executable, "-m", "examples.demo"], env=env, capture_output=True, text=True, timeout=600)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    scores = {
        name: [int(share) for share in shares]
        for name, *shares in re.findall(r"^ (base|tuned) .*?(\d+)% +(\d+)%", demo.stdout, re.MULTILINE)
    }
    assert scores["tuned"][0] >= scores["base"][0] + 30, demo.stdout
    assert scores["tuned"][1] >= 95, demo.stdout
    assert str(data / "admin.key") in demo.stdout
    left = [process.pid for process in psutil.process_iter(["environ"]) if mentions(process, str(data))]
    assert left == []


def mentions(process: psutil.Process, data: str) -> bool:
    return (process.info["environ"] or {}).get("FETTLE_DATA") == data
