"""How long the API's event loop keeps a bystander waiting while one request after another tries to freeze it.

A real API process; no worker and no engine. `python -m bench.loop_lag [NAME…]` prints one row for each attack: the lag
that the process itself measured, and the slowest answer of /healthz. Exits 1 when a row breaks the promise: 99 % of the
timers below 50 ms, the worst below 250 ms.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from bench import parquet_bombs
from fettle.cli.up import free_port

P99, WORST = 0.05, 0.25  # seconds
Attack = Callable[[httpx.Client], object]


def grader(function: str, **parameters: object) -> dict[str, object]:
    return {"grader": {"type": "function", "name": "x", "function": function, "parameters": parameters}}


def validate(**body: object) -> Attack:
    return lambda http: http.post("/v1/fine_tuning/alpha/graders/validate", json=body)


def raw(path: str, content: bytes) -> Attack:
    return lambda http: http.post(path, content=content, headers={"content-type": "application/json"})


def upload(content: bytes, name: str = "a.jsonl") -> Attack:
    return lambda http: http.post("/v1/files", files={"file": (name, content)}, data={"purpose": "fine-tune"})


def nested(depth: int) -> object:
    schema: object = {}
    for _ in range(depth):
        schema = {"allOf": [schema]}
    return schema


ROW = b'{"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "%s"}]}\n'
PAIRS = b",".join(b'{"k%d": 1, "k%d": 2}' % (n, n) for n in range(150_000))
CHATS = "/v1/chat/completions"
ATTACKS: dict[str, Attack] = {
    "schema of 4,000 parts": validate(**grader("json_schema", json_schema={"allOf": [{}] * 4000})),
    "schema of 2,000 properties": validate(
        **grader("json_schema", json_schema={"properties": {f"p{n}": {"type": "string"} for n in range(2000)}})
    ),
    "schema 200 deep": validate(**grader("json_schema", json_schema=nested(200))),
    "pattern with large counts": validate(**grader("regex", pattern="(?:a{1,300}b{1,300}){1,300}" * 60)),
    "source of 16,000 brackets": validate(grader={"type": "python", "name": "x", "source": "(" * 16_000}),
    "job with a large schema": raw(
        "/v1/fine_tuning/jobs",
        json.dumps(
            {
                "model": "starter",
                "training_file": "file-x",
                "method": {
                    "type": "reinforcement",
                    "reinforcement": grader("json_schema", json_schema={"allOf": [{}] * 4000}),
                },
            }
        ).encode(),
    ),
    "keys twice": raw(CHATS, b'{"model": "starter", "x": [' + PAIRS + b"]}"),
    "a million lists": raw(CHATS, b'{"model": "starter", "x": [' + b"[]," * 1_000_000 + b"1]}"),
    "4 MB of text": raw(CHATS, json.dumps({"model": "x", "messages": [{"content": "ä,{[:" * 350_000}]}).encode()),
    "20,000 wrong inputs": raw("/v1/responses", json.dumps({"model": "x", "input": [1] * 19_000}).encode()),
    "9,000 unknown keys": raw("/v1/api_keys", json.dumps({f"k{n}": 1 for n in range(9000)}).encode()),
    "deep": raw(CHATS, b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "metadata filters": lambda http: http.get(
        "/v1/fine_tuning/jobs?" + "&".join(f"metadata[k{n}]=v" for n in range(3000))
    ),
    "rows with keys twice": upload(ROW % b'", "content": "' * 20_000),
    "a row of 1 MB of lists": upload(b'{"messages": [' + b"[]," * 330_000 + b"1]}\n"),
    "parquet with a shared text": upload(parquet_bombs.shared_text(), "a.parquet"),
    "parquet with millions of rows": upload(parquet_bombs.many_rows(), "a.parquet"),
}


@contextmanager
def api() -> Iterator[tuple[str, str]]:
    """Its URL and a key."""
    with tempfile.TemporaryDirectory() as folder:
        port, fettle = free_port(), [sys.executable, "-m", "fettle"]
        env = {**os.environ, "FETTLE_DATA": folder, "FETTLE_PORT": str(port), "FETTLE_GRADING_SECONDS": "1"}
        subprocess.run([*fettle, "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
        made = subprocess.run([*fettle, "keys", "create", "bench"], env=env, check=True, capture_output=True, text=True)
        with subprocess.Popen([sys.executable, "-m", "api"], env=env, stderr=subprocess.DEVNULL) as process:
            url = f"http://127.0.0.1:{port}"
            try:
                while True:
                    try:
                        httpx.get(url + "/healthz")
                        break
                    except httpx.TransportError:
                        time.sleep(0.1)
                yield url, made.stdout.strip()
            finally:
                process.terminate()


def lags(url: str) -> dict[float, float]:
    """How many timers were late by at most so many seconds."""
    page = httpx.get(url + "/metrics").text
    return {float(le): float(n) for le, n in re.findall(r'loop_lag_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)', page)}


def quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """The upper end of the bucket that it lies in."""
    seen = {le: after[le] - before.get(le, 0) for le in after}
    return next(le for le, count in seen.items() if count >= share * seen[max(seen)])


def tried(url: str, key: str, attack: Attack) -> tuple[float, float, float, str]:
    """(lag at 99 %, worst lag, slowest bystander, what the attacker was told)."""
    said = ""

    def run() -> None:
        nonlocal said
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=120) as http:
            answer = attack(http)
            assert isinstance(answer, httpx.Response)
            said = f"{answer.status_code} {answer.text[:60]!r}"

    before, thread, slowest = lags(url), threading.Thread(target=run), 0.0
    thread.start()
    with httpx.Client(base_url=url) as bystander:
        while thread.is_alive():
            began = time.perf_counter()
            bystander.get("/healthz")
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(0.01)
    time.sleep(0.1)
    after = lags(url)
    return quantile(before, after, 0.99), quantile(before, after, 1.0), slowest, said


def main() -> None:
    broken = False
    with api() as (url, key):
        time.sleep(3)  # the libraries of the process for heavy checks are loaded by then
        print(f"{'attack':32} {'p99 ≤':>8} {'worst ≤':>8} {'/healthz':>9}  answer")
        for name in sys.argv[1:] or ATTACKS:
            p99, worst, slowest, said = tried(url, key, ATTACKS[name])
            fine = p99 <= P99 and worst <= WORST
            broken |= not fine
            mark = "" if fine else "  ← too slow"
            print(f"{name:32} {p99:8.3f} {worst:8.3f} {slowest:9.3f}  {said}{mark}", flush=True)
    sys.exit(broken)


if __name__ == "__main__":
    main()
