"""Two bases on two engines behind one API, each a process of its own: Fettle's engine, and the agent before a vLLM."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle.cli.up import first_start, free_port
from fettle.settings import Settings
from tests import bases
from tests.e2e.conftest import wait_for
from tests.worker.vllm.conftest import KEY, VLLM_KEY, RecordedVllm

pytestmark = pytest.mark.slow

QUESTION = [{"role": "user", "content": "Hi"}]


class Installation:
    """Processes that share a data folder, and so an SQLite database. None is configured with another's address."""

    def __init__(self, data: Path, vllm: RecordedVllm) -> None:
        catalog = data / "catalog.json"
        data.mkdir()
        catalog.write_text(json.dumps({"qwen": {"path": str(bases.copy(data / "qwen"))}}))
        self.env = {
            **os.environ,
            "FETTLE_DATA": str(data),
            "FETTLE_CATALOG": str(catalog),
            "FETTLE_ENGINE_KEY": KEY,
            "FETTLE_VLLM_URL": vllm.url,
            "FETTLE_VLLM_KEY": VLLM_KEY,
            "FETTLE_THREADS": "1",
            "FETTLE_HEARTBEAT_SECONDS": "0.2",
            "FETTLE_LEASE_SECONDS": "3",
            "FETTLE_REDIS_URL": "redis://127.0.0.1:1/0",
        }
        self.settings = Settings(_env_file=None, data=data)
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, module: str, **settings: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module]
        process = subprocess.Popen(command, env=self.env | settings, stderr=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def engine(self, module: str, **settings: str) -> subprocess.Popen[bytes]:
        return self.start(module, FETTLE_ENGINE_URL=f"http://127.0.0.1:{free_port()}", **settings)

    def stop(self) -> None:
        for process in self.started:
            process.terminate()
        for process in self.started:
            process.wait(60)


@pytest.fixture
def installation(vllm: RecordedVllm, tmp_path: Path) -> Iterator[Installation]:
    vllm.base = "qwen"
    made = Installation(tmp_path / "fettle", vllm)
    asyncio.run(first_start(made.settings))
    yield made
    made.stop()


def test_each_request_goes_where_its_base_is(installation: Installation, vllm: RecordedVllm) -> None:
    own = installation.engine("worker.engine", FETTLE_ENGINE_MODELS="starter")
    installation.engine("worker.vllm")
    port = free_port()
    installation.start("api", FETTLE_PORT=str(port), FETTLE_ENGINE_URL="http://127.0.0.1:1")
    key = (installation.settings.data / "admin.key").read_text().strip()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False
    ) as api:

        def engines() -> dict[str, dict[str, Any]]:
            with contextlib.suppress(httpx.TransportError):
                return {each["kind"]: each for each in api.get("/v1/engines").json()["data"]}
            return {}

        def chat(model: str) -> httpx.Response:
            return api.post("/v1/chat/completions", json={"model": model, "messages": QUESTION, "max_tokens": 3})

        wait_for(lambda: engines().keys() == {"fettle", "vllm"}, 60, "both engines to announce themselves")
        assert {kind: each["base_models"] for kind, each in engines().items()} == {
            "fettle": ["starter"],
            "vllm": ["qwen"],
        }
        assert {each["status"] for each in engines().values()} == {"ready"}
        starter, qwen = chat("starter"), chat("qwen")
        assert (starter.status_code, qwen.status_code) == (200, 200), (starter.text, qwen.text)
        assert qwen.json()["choices"][0]["message"]["content"] == "4"  # what the vLLM says to everything
        assert [body["model"] for _, body in vllm.seen] == ["qwen"]

        second = installation.engine("worker.engine", FETTLE_ENGINE_MODELS="starter")
        wait_for(lambda: len(api.get("/v1/engines").json()["data"]) == 3, 60, "the second engine")
        own.kill()  # its row still says that it is ready
        assert chat("starter").status_code == 200
        second.terminate()
        assert second.wait(60) == 0
        away = chat("starter")
        assert (away.status_code, away.headers["x-should-retry"]) == (503, "true"), away.text
        assert chat("qwen").status_code == 200
