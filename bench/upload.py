"""A large dataset through the API: time until it is uploaded, validated and stored, against parsing its lines.

python -m bench.upload [MEGABYTES] [ROUNDS]

Prints the ratio to one bare loop of orjson.loads over the same lines, the growth of the API process's memory, and how
long the API kept another client waiting meanwhile. Client, API and validation share this machine's cores: on a busy one
the CPU seconds say more than the ratio.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import orjson
import psutil

from fettle.cli.up import free_port

BOUNDARY = b"fettle-bench"
HEAD = (
    b"--%b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n"
    b"--%b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"data.jsonl\"\r\n\r\n"
) % (BOUNDARY, BOUNDARY)  # fmt: skip
TAIL = b"\r\n--%b--\r\n" % BOUNDARY


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        file = Path(folder) / "data.jsonl"
        rows = write_dataset(file, megabytes * 10**6)
        with api(Path(folder) / "data", file.stat().st_size) as server:
            server.upload(file, rows)  # the page cache is warm for both
            parse(file)
            loops, uploads, waits, growth = [], [], [], []
            cpu, before = [], server.cpu_seconds()
            for _ in range(rounds):
                started = time.process_time()
                loops.append(parse(file))
                cpu.append(time.process_time() - started)
                seconds, wait, grown = server.watched(file, rows)
                uploads.append(seconds)
                waits.append(wait)
                growth.append(grown)
                print(f"loop {loops[-1]:.2f} s   upload {seconds:.2f} s   ping {wait:.0f} ms", flush=True)
            spent = [(after - first) / rounds for after, first in zip(server.cpu_seconds(), before, strict=True)]
    figures = {
        "megabytes": megabytes,
        "rows": rows,
        "orjson_loop_p50_seconds": round(median(loops), 2),
        "upload_p50_seconds": round(median(uploads), 2),
        "upload_over_loop": round(median(uploads) / median(loops), 2),
        "orjson_loop_cpu_seconds": round(median(cpu), 2),
        "api_cpu_seconds": round(spent[0], 2),
        "validation_cpu_seconds": round(spent[1], 2),
        "api_growth_megabytes": round(max(grown["api"] for grown in growth) / 1e6, 1),
        "api_and_validation_growth_megabytes": round(max(grown["all"] for grown in growth) / 1e6, 1),
        "worst_ping_milliseconds": round(max(waits)),
    }
    print(json.dumps(figures))


def write_dataset(file: Path, size: int) -> int:
    """Chat rows of about a kilobyte; returns how many."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randrange(2, 9))) for _ in range(2000)]

    def text(least: int, most: int) -> str:
        return " ".join(rng.choices(words, k=rng.randrange(least, most))) + '.\n"So be it."'

    lines = []
    for _ in range(2000):
        turns = [("system", text(8, 16)), ("user", text(20, 120)), ("assistant", text(20, 160))]
        lines.append(orjson.dumps({"messages": [{"role": role, "content": said} for role, said in turns]}) + b"\n")
    rows = 0
    with file.open("wb") as out:
        while out.tell() < size:
            rng.shuffle(lines)
            out.writelines(lines)
            rows += len(lines)
    return rows


def parse(file: Path) -> float:
    """Seconds of one bare loop."""
    started = time.perf_counter()
    with file.open("rb") as lines:
        for line in lines:
            orjson.loads(line)
    return time.perf_counter() - started


class Server:
    def __init__(self, url: str, key: str, process: "subprocess.Popen[bytes]") -> None:
        self.process = psutil.Process(process.pid)
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=600, trust_env=False)

    def cpu_seconds(self) -> tuple[float, float]:
        """Those of the API process, and of the processes that it has started and that have ended."""
        spent = self.process.cpu_times()
        return spent.user + spent.system, spent.children_user + spent.children_system

    def upload(self, file: Path, rows: int) -> float:
        """Seconds until the answer; the file is deleted afterwards."""
        length = len(HEAD) + file.stat().st_size + len(TAIL)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}",
            "Content-Length": str(length),
        }
        started = time.perf_counter()
        answer: Any = self.http.post("/v1/files", content=body(file), headers=headers).raise_for_status().json()
        seconds = time.perf_counter() - started
        assert (answer["status"], answer["validation"]["rows"]) == ("processed", rows), answer
        self.http.delete(f"/v1/files/{answer['id']}").raise_for_status()
        return seconds

    def watched(self, file: Path, rows: int) -> tuple[float, float, dict[str, int]]:
        """Seconds, another client's longest wait in milliseconds, the most that memory grew in bytes."""
        done = threading.Event()
        waits, api, everything = [0.0], [0], [0]
        before = self.process.memory_info().rss

        def watch() -> None:
            with httpx.Client(base_url=self.http.base_url, trust_env=False) as other:
                while not done.wait(0.02):
                    started = time.perf_counter()
                    other.get("/healthz")
                    waits.append(time.perf_counter() - started)
                    own = self.process.memory_info().rss
                    api.append(own - before)
                    everything.append(own - before + sum(map(resident, self.process.children(recursive=True))))

        watcher = threading.Thread(target=watch)
        watcher.start()
        seconds = self.upload(file, rows)
        done.set()
        watcher.join()
        return seconds, 1000 * max(waits), {"api": max(api), "all": max(everything)}


def resident(process: psutil.Process) -> int:
    """Bytes; of pages that several processes share, each has its part."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has ended
        return 0


def body(file: Path) -> Iterator[bytes]:
    yield HEAD
    with file.open("rb") as source:
        while block := source.read(1 << 20):
            yield block
    yield TAIL


@contextmanager
def api(data: Path, size: int) -> Iterator[Server]:
    """A real API process on SQLite and a local folder."""
    port = free_port()
    env = {**os.environ, "FETTLE_DATA": str(data), "FETTLE_PORT": str(port), "FETTLE_MAX_UPLOAD_BYTES": str(2 * size)}
    fettle = [sys.executable, "-m", "fettle"]
    subprocess.run([*fettle, "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
    created = subprocess.run([*fettle, "keys", "create", "bench"], env=env, check=True, capture_output=True, text=True)
    process = subprocess.Popen([sys.executable, "-m", "api"], env=env, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        while process.poll() is None:
            try:
                httpx.get(f"{url}/healthz", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield Server(url, created.stdout.strip(), process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


if __name__ == "__main__":
    main()
