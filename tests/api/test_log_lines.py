"""A real API process: whatever happens to it, each line of its stderr is one JSON object."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from fettle.cli.up import free_port

CANARY = "sk-canary-0123456789"


@pytest.mark.slow
def test_every_line_is_json_and_no_request_can_write_one(tmp_path: Path) -> None:
    port = free_port()
    env = {**os.environ, "FETTLE_DATA": str(tmp_path), "FETTLE_PORT": str(port), "FETTLE_LOG_LEVEL": "debug"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "api"], env=env, stderr=log)
    url = f"http://127.0.0.1:{port}"
    for _ in range(1200):
        try:
            httpx.get(f"{url}/healthz", trust_env=False)
            break
        except httpx.TransportError:
            time.sleep(0.05)
    secret = {"Authorization": f"Bearer {CANARY}"}
    answer = httpx.get(
        f"{url}/v1/files/a%0A%7B%22event%22%3A%22forged%22%7D?q={CANARY}", headers=secret, trust_env=False
    )
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b'GET / HT\n{"event": "forged"}\r\n\r\n')
        raw.recv(1000)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    text = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
    assert "forged" not in {line["event"] for line in lines}
    (request,) = [line for line in lines if line["event"] == "request" and line["path"].startswith("/v1")]
    assert (request["status"], request["request_id"]) == (401, answer.headers["x-request-id"])
    assert {line.get("logger") for line in lines} >= {"uvicorn.error"}  # its lines come the same way
    assert CANARY not in text
