"""The sandbox: how soon it starts, what a sample costs, and what it holds. `python -m bench.sandbox [--attacks]`.

Prints medians on this machine, by language and by level; the attacks are those of the tests, each once.
"""

import os
import platform
import shutil
import socket
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fettle.rewards.sandbox import Limits, Sandbox, Walls, level, walls_of
from tests.fettle.rewards.sandbox.attacks import BY_LANGUAGE, HARMLESS

GRADERS = {
    "python": "def grade(sample, item):\n    return float(sample['output_text'].strip() == item['answer'])",
    "javascript": "const grade = (sample, item) => Number(sample.output_text.trim() === item.answer);",
}
BATCH = 100
TEXT = "x" * 2000  # characters of a completion
GRADE = ["grade"]


def median(action: Callable[[], object], times: int) -> float:
    """Seconds."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def levels() -> list[tuple[str, str, Walls]]:
    """(language, level, walls) of all that can be had here: the minimum, and the strongest where it is more."""
    found = []
    for language in ["python", *(["javascript"] if shutil.which("node") else [])]:
        strongest = walls_of(language)
        for walls in dict.fromkeys([Walls(), strongest]):
            added = len(level(language).split("+")) - sum(
                wall is not None for wall in (strongest.bwrap, strongest.group)
            )
            name = level(language) if walls == strongest else "+".join(level(language).split("+")[:added])
            found.append((language, name, walls))
    return found


def speed(language: str, walls: Walls) -> tuple[float, float, float]:
    """Seconds: (a start, a sample in a batch, a sample alone)."""
    samples = [({"output_text": TEXT, "output_tools": []}, {"answer": TEXT}) for _ in range(BATCH)]
    source = GRADERS[language]
    start = median(lambda: Sandbox(source, language=language, walls=walls).close(), 15)
    with Sandbox(source, language=language, walls=walls) as sandbox:
        batch = median(lambda: sandbox.grade(samples), 30)
        single = median(lambda: sandbox.grade(samples[:1]), 30)
    return start, batch / BATCH, single


def attack(language: str, walls: Walls) -> dict[str, tuple[bool, str]]:
    """Whether each attack was stopped, and what it was told."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        secret = Path(folder) / "secret"
        secret.write_text("canary")
        Path(folder).chmod(0o777)
        item: dict[str, Any] = {
            "port": listener.getsockname()[1],
            "secret": str(secret),
            "target": str(Path(folder) / "target"),
            "folder": folder,
            "parent": os.getpid(),
            "ours": str(Path(__file__).parents[1]),
            "installed": sysconfig.get_path("platlib"),
        }
        for name, source in BY_LANGUAGE[language].items():
            limits = Limits(seconds=1.5, memory_bytes=1 << 30)
            with Sandbox(source, limits, GRADE, language=language, walls=walls) as sandbox:
                (result,) = sandbox.grade([({}, item)])
            stopped = result.value in (None, 0.0, HARMLESS.get(name)) and {*Path(folder).iterdir()} == {secret}
            said = [line for line in (result.error or "").splitlines() if line and not line.startswith("    at ")]
            found[name] = stopped, said[-1] if said else ""
    return found


def attacks(measured: list[tuple[str, str, Walls]]) -> None:
    for language in dict.fromkeys(language for language, _, _ in measured):
        here = [(name, attack(language, walls)) for of, name, walls in measured if of == language]
        print(f"\n{language}: {' · '.join(name for name, _ in here)}")
        for name in BY_LANGUAGE[language]:
            held = "  ".join("stopped" if results[name][0] else "A HOLE " for _, results in here)
            print(f"{held}  {name:48} {here[-1][1][name][1][:60]}")
        for named, results in here:
            print(f"{sum(stopped for stopped, _ in results.values())} of {len(results)} stopped by {named}")


if __name__ == "__main__":
    measured = levels()
    print(f"Python {platform.python_version()} · Linux {platform.release()} · {os.cpu_count()} cores")
    print(f"{'':11} {'level':44} {'start':>7} {f'of {BATCH}':>9} {'alone':>9}    (asked: 150 ms, 100 µs of {BATCH})")
    for language, name, walls in measured:
        start, batch, single = speed(language, walls)
        print(f"{language:11} {name:44} {start * 1e3:4.0f} ms {batch * 1e6:6.0f} µs {single * 1e6:6.0f} µs")
    if "--attacks" in sys.argv:
        attacks(measured)
