"""Engines on loopback that answer OpenAI's completions: Fettle's, and vLLM's from the environment that `make` made."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from fettle.cli.up import free_port
from fettle.registry import catalog
from fettle.registry.catalog import BaseModelEntry
from fettle.storage import LocalStorage, artifacts

VLLM = Path(os.environ.get("PEER_VLLM", ".venv-vllm/bin/python"))
KEY = "the-engine-key"
NAME = "base"  # of the base model, with every engine
HEADERS = {"Authorization": f"Bearer {KEY}"}
RANK, LENGTH = 8, 2048
STARTS_WITHIN = 400  # seconds; vLLM compiles


@dataclass(frozen=True)
class Server:
    url: str
    pid: int


@contextmanager
def fettle(base: Path, adapters: Sequence[Path], scratch: Path, *, bf16: bool) -> Iterator[Server]:
    url, file = f"http://127.0.0.1:{free_port()}", scratch / "catalog.json"
    entry = BaseModelEntry(path=base, parameters=1, length=LENGTH, license="apache-2.0")
    scratch.mkdir()
    catalog.add(file, NAME, entry)
    storage = LocalStorage(str(scratch / "storage"))
    for folder in adapters:
        asyncio.run(artifacts.upload(storage, folder, folder.name))
    env = {
        "FETTLE_DATA": str(scratch),
        "FETTLE_CATALOG": str(file),
        "FETTLE_ENGINE_URL": url,
        "FETTLE_ENGINE_KEY": KEY,
        "FETTLE_THREADS": "1",
        "FETTLE_CPU_BF16": str(int(bf16)),
    }
    with running([sys.executable, "-m", "worker.engine"], env, scratch / "log", url) as server:
        for folder in adapters:
            load(url, folder.name, folder.name)
        yield server


@contextmanager
def vllm(base: Path, adapters: Sequence[Path], scratch: Path, *, bf16: bool) -> Iterator[Server]:
    """Without adapters it is started without LoRA, which makes it faster."""
    scratch.mkdir()
    port = free_port()
    command = [str(VLLM.absolute()), "-m", "vllm.entrypoints.openai.api_server", "--model", str(base.absolute())]
    command += ["--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port), "--api-key", KEY]
    command += ["--dtype", "bfloat16" if bf16 else "float32", "--max-model-len", str(LENGTH), "--max-num-seqs", "16"]
    if adapters:
        command += ["--enable-lora", "--max-lora-rank", str(RANK), "--max-loras", str(len(adapters)), "--lora-modules"]
        command += [f"{folder.name}={folder}" for folder in adapters]
    env = {
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_CPU_OMP_THREADS_BIND": "0",  # one thread
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    url = f"http://127.0.0.1:{port}"
    with running(command, env, scratch / "log", url) as server:
        yield server


@contextmanager
def running(command: list[str], env: dict[str, str], log: Path, url: str) -> Iterator[Server]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=output, stderr=output)
    try:
        wait_until_ready(process, url, log)
        yield Server(url, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise SystemExit(f"The server at {url} did not start:\n{log.read_text()[-4000:]}")


def load(url: str, name: str, path: str) -> None:
    body = {"lora_name": name, "lora_path": path, "base_model_name": NAME}
    answer = httpx.post(f"{url}/v1/load_lora_adapter", json=body, headers=HEADERS, timeout=60, trust_env=False)
    if not answer.is_success:
        raise SystemExit(f"The engine does not load {name}: {answer.text}")


def cpu_seconds(pid: int) -> float:
    """That this process and those below it have used so far."""
    total = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:2])
    return total
