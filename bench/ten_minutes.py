"""From a fresh clone to an answer of one's own fine-tuned model, by the three commands of a newcomer, timed.

    python -m bench.ten_minutes                     # clones this checkout into a temporary folder; needs pip's network

The commands are `make real-model`, `fettle up --detach` and `fettle train examples/word_problems.jsonl --chat`. One
question is typed into the chat. Packages come from the network or pip's cache: `--help` says how to know which.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from assets.smollm2.make import NAME
from fettle.cli.up import free_port

ROOT = Path(__file__).parents[1]
QUESTION = "Ann has 4 apples and buys 3 more. How many apples does Ann have?"
GOAL = 600  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ten_minutes", description=__doc__.splitlines()[0])
    parser.add_argument("--no-cache", action="store_true", help="download every package; unset: pip's cache is used")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fettle-ten-minutes-"))
    try:
        took = walk(folder / "fettle", fresh=options.no_cache)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for command, seconds in took.items():
        print(f"{seconds:8.1f} s  {command}")
    total = sum(took.values())
    print(f"{total:8.1f} s  in all, on {os.cpu_count()} cores; the goal is {GOAL} s")
    sys.exit(total > GOAL)


def walk(clone: Path, *, fresh: bool) -> dict[str, float]:
    """Seconds of each command. Raises CalledProcessError at one that fails; the service is stopped either way."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FETTLE_")}
    env |= {"FETTLE_PORT": str(free_port()), **({"PIP_NO_CACHE_DIR": "1"} if fresh else {})}
    fettle, took = str(clone / ".venv" / "bin" / "fettle"), {}

    def run(*command: str, typed: str = "", cwd: Path = clone) -> str:
        begun = time.monotonic()
        done = subprocess.run(command, cwd=cwd, env=env, input=typed, text=True, stdout=subprocess.PIPE, check=True)
        shown = " ".join(Path(word).name if word == fettle else word for word in command)
        took[shown] = time.monotonic() - begun
        return done.stdout

    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    run("make", "real-model")
    try:
        run(fettle, "up", "--detach")
        training = ("train", "examples/word_problems.jsonl", "--base", NAME, "--chat")
        said = run(fettle, *training, typed=f"{QUESTION}\n")
    finally:
        subprocess.run([fettle, "down"], cwd=clone, env=env, check=False)
    print(said[-1500:])
    return took


if __name__ == "__main__":
    main()
