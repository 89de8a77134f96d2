"""A real vLLM on loopback with the starter: `make test-vllm` names its interpreter in TEST_VLLM."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from fettle.registry.catalog import STARTER
from tests.worker.vllm import contract

PYTHON = os.environ.get("TEST_VLLM")  # nothing of this runs without it
MAX_LORAS = 2  # side by side in one batch
MAX_CPU_LORAS = 4  # kept in memory
STARTS_WITHIN = 300  # seconds
ENVIRONMENT = {
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}


@contextmanager
def running(key: str, log: Path) -> Iterator[str]:
    """Its URL."""
    assert PYTHON
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [
        *(
            PYTHON,
            "-m",
            "vllm.entrypoints.openai.api_server",
            "--model",
            str(STARTER),
            "--served-model-name",
            "starter",
        ),
        *("--host", "127.0.0.1", "--port", port, "--api-key", key, "--dtype", "float32", "--enforce-eager"),
        *("--enable-lora", "--max-lora-rank", str(contract.MAX_LORA_RANK), "--max-loras", str(MAX_LORAS)),
        *("--max-cpu-loras", str(MAX_CPU_LORAS), "--structured-outputs-config.backend", "guidance"),
        "--structured-outputs-config.disable_any_whitespace=true",
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=os.environ | ENVIRONMENT, stdout=output, stderr=output, cwd=log.parent)
    url = f"http://127.0.0.1:{port}"
    try:
        wait(server, url, log)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        assert server.poll() is None, f"vLLM ended while it started:\n{log.read_text()[-4000:]}"
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"vLLM did not start within {STARTS_WITHIN} s:\n{log.read_text()[-4000:]}")
