"""How fast the API process answers after it is started, and that it has no torch in it.

python -m bench.api_start
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from statistics import median

import httpx

from fettle.cli.up import free_port

RUNS = 7


def main() -> None:
    seconds = [start() for _ in range(RUNS)]
    script = "import sys, api.app; print(sorted({'torch', 'transformers', 'trl', 'peft'} & set(sys.modules)))"
    heavy = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    figures = {
        "p50_seconds": round(median(seconds), 2),
        "worst_seconds": round(max(seconds), 2),
        "heavy_imports": json.loads(heavy.replace("'", '"')),
    }
    print(json.dumps(figures))


def start() -> float:
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        port = free_port()
        env = {**os.environ, "FETTLE_DATA": folder, "FETTLE_PORT": str(port)}
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "api"], env=env, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.01)
        seconds = time.perf_counter() - started
        process.send_signal(signal.SIGTERM)
        process.wait()
        return seconds


if __name__ == "__main__":
    main()
