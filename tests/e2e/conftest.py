"""A real server as a user starts it (`python -m fettle up`), and the unmodified `openai` SDK to drive it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from examples.word_problems import problems
from fettle.cli.up import free_port

ENDED = ("succeeded", "failed", "cancelled")
QUICK = {  # so that a lost worker is noticed within seconds
    "FETTLE_LEASE_SECONDS": "3",
    "FETTLE_HEARTBEAT_SECONDS": "0.5",
    "FETTLE_WATCH_SECONDS": "0.1",
    "FETTLE_POLL_SECONDS": "3",
    "FETTLE_RECONCILE_SECONDS": "1",
    "FETTLE_EVENT_POLL_SECONDS": "0.1",
    "FETTLE_THREADS": "1",
}


class Server:
    """One `fettle up`, its folder, and a client for it."""

    def __init__(self, data: Path, port: int, settings: Mapping[str, str] | None = None) -> None:
        """settings: beyond the embedded defaults."""
        self.data, self.port, self.beyond = data, port, dict(settings or {})
        self.url = f"http://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "fettle", "up"]
        self.process = subprocess.Popen(command, env=self.environment(), stdout=subprocess.DEVNULL)
        self.http = httpx.Client(base_url=self.url, timeout=60)
        wait_for(self.ready, 180, "the server to be ready")
        self.connect()

    def connect(self) -> None:
        """As the administrator."""
        self.key = (self.data / "admin.key").read_text().strip()
        self.client = OpenAI(api_key=self.key, base_url=f"{self.url}/v1")
        self.http.headers["Authorization"] = f"Bearer {self.key}"

    def environment(self) -> dict[str, str]:
        own = {"FETTLE_DATA": str(self.data), "FETTLE_PORT": str(self.port)}
        return {**os.environ, **QUICK, **own, **self.beyond}

    def ready(self) -> bool:
        assert self.process.poll() is None, "fettle up ended"
        try:
            return all(state == "ok" for state in self.http.get("/readyz").json().values())
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.http.close()
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0

    def part(self, name: str) -> psutil.Process:
        """One of the processes that `fettle up` runs."""
        for process in psutil.Process(self.process.pid).children():
            if process.cmdline()[-1] == name:
                return process
        raise AssertionError(f"no part {name!r} is running")

    def training_child(self) -> psutil.Process | None:
        """The process that trains: what the worker's forkserver has forked, and leads its own group."""
        for process in self.part("worker").children(recursive=True):
            if os.getpgid(process.pid) == process.pid:
                return process
        return None

    def upload(self, rows: int, split: str = "train", seed: int = 3) -> str:
        taken = islice(problems(split, seed), rows)  # type: ignore[arg-type]
        content = "\n".join(json.dumps(problem.row("reasoned")) for problem in taken).encode()
        return self.client.files.create(file=(f"{split}.jsonl", content), purpose="fine-tune").id

    def create(self, rows: int = 64, epochs: int = 2, **extra: Any) -> FineTuningJob:
        hyperparameters = {"n_epochs": epochs, "batch_size": 8}
        return self.client.fine_tuning.jobs.create(
            model="starter",
            training_file=self.upload(rows),
            seed=11,
            method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},  # type: ignore[typeddict-item]
            **extra,
        )

    def messages(self, job_id: str) -> list[str]:
        """Oldest first."""
        events = list(self.client.fine_tuning.jobs.list_events(job_id, limit=100))
        return [event.message for event in reversed(events)]

    def wait_for_end(self, job_id: str, seconds: float = 240) -> FineTuningJob:
        wait_for(lambda: self.client.fine_tuning.jobs.retrieve(job_id).status in ENDED, seconds, f"{job_id} to end")
        return self.client.fine_tuning.jobs.retrieve(job_id)

    def wait_for_message(self, job_id: str, beginning: str, seconds: float = 150) -> None:
        wait_for(
            lambda: any(message.startswith(beginning) for message in self.messages(job_id)), seconds, repr(beginning)
        )


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Looks less often with time: each look takes from what is waited for on a busy machine."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < seconds, f"waited {seconds} s for {what}"
        time.sleep(min(0.2, 0.05 + waited / 20))


def fettle(server: Server, *words: str, seconds: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
    """A command, as a user of this server gives it."""
    known = {"FETTLE_DATA": str(server.data), "FETTLE_URL": server.url, "FETTLE_API_KEY": server.key}
    return subprocess.run(
        [sys.executable, "-m", "fettle", *words],
        env={**os.environ, **known, **env},
        capture_output=True,
        text=True,
        timeout=seconds,
    )


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Shared by tests that leave it whole: it replaces a part that was killed. Its idle processes are not free."""
    running = Server(tmp_path_factory.mktemp("fettle"), free_port())
    yield running
    running.stop()
