"""The sandbox: how soon it starts, what a sample costs, and what it holds. `python -m bench.sandbox [--attacks]`.

Prints medians on this machine; the attacks are those of the tests, each once.
"""

import os
import platform
import socket
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fettle.rewards.sandbox import Limits, Sandbox, level
from tests.fettle.rewards.sandbox.attacks import ATTACKS, HARMLESS

GRADE = "def grade(sample, item):\n    return float(sample['output_text'].strip() == item['answer'])"
BATCH = 100
TEXT = "x" * 2000  # characters of a completion


def median(action: Callable[[], object], times: int) -> float:
    """Seconds."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def speed() -> None:
    samples = [({"output_text": TEXT, "output_tools": []}, {"answer": TEXT}) for _ in range(BATCH)]
    start = median(lambda: Sandbox(GRADE).close(), 15)
    with Sandbox(GRADE) as sandbox:
        batch = median(lambda: sandbox.grade(samples), 30)
        single = median(lambda: sandbox.grade(samples[:1]), 30)
    print(f"start                        {start * 1e3:7.0f} ms    (asked: at most 150)")
    print(f"a sample, {BATCH} in a batch     {batch / BATCH * 1e6:7.0f} µs    (asked: at most 100)")
    print(f"a sample, alone              {single * 1e6:7.0f} µs")


def attacks() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        secret = Path(folder) / "secret"
        secret.write_text("canary")
        item: dict[str, Any] = {
            "port": listener.getsockname()[1],
            "secret": str(secret),
            "target": str(Path(folder) / "target"),
            "folder": folder,
            "parent": os.getpid(),
            "ours": str(Path(__file__).parents[1]),
            "installed": sysconfig.get_path("platlib"),
        }
        held = 0
        for name, source in ATTACKS.items():
            with Sandbox(source, Limits(seconds=1.5, memory_bytes=1 << 30)) as sandbox:
                (verdict,) = sandbox.grade([({}, item)])
            stopped = verdict.value in (None, 0.0, HARMLESS.get(name)) and {*Path(folder).iterdir()} == {secret}
            held += stopped
            said = (verdict.error or "").strip().splitlines()
            print(f"{'stopped' if stopped else 'A HOLE '}  {name:48} {said[-1][:70] if said else ''}")
    print(f"{held} of {len(ATTACKS)} stopped")


if __name__ == "__main__":
    print(f"{level()} · Python {platform.python_version()} · Linux {platform.release()} · {os.cpu_count()} cores")
    speed()
    if "--attacks" in sys.argv:
        attacks()
