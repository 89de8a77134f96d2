"""A Fettle of the benchmark's own: a temporary folder, a free port, stopped at the end."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
from openai import OpenAI

from fettle.cli.up import free_port


@contextmanager
def server(data: Path | None = None, **settings: str) -> Iterator[OpenAI]:
    """data: its folder; unset: a temporary one. settings: without the FETTLE_ prefix, lower case."""
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as scratch:
        folder = str(data or scratch)
        port = free_port()
        env = {**os.environ, **{f"FETTLE_{name.upper()}": value for name, value in settings.items()}}
        env |= {"FETTLE_DATA": folder, "FETTLE_PORT": str(port)}
        process = subprocess.Popen([sys.executable, "-m", "fettle", "up"], env=env, stdout=subprocess.DEVNULL)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/readyz", process)
            key = (Path(folder) / "admin.key").read_text().strip()
            yield OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def cpu_seconds() -> float:
    """That this process's children have used so far, and theirs, those that have ended included."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # user, system, and both of the children it has waited for
    return total


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            if all(state == "ok" for state in httpx.get(url, trust_env=False).json().values()):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("fettle up did not start")
