"""Many adapters through few slots, and first tokens of prompts that begin alike: the engine over HTTP, as the API does.

    python -m bench.adapters [--rounds 3]

32 adapters in turn, 16 requests at a time, of 48 tokens each: once by an engine with 32 slots, which has loaded all of
them, once by one with 8. Both are processes of their own on the starter, with one torch thread; rounds take turns, and
ratios are medians over them, of tokens a second by the clock. Then first tokens by the clock, 16 at a time, behind a
shared beginning of about 600 tokens: with a salt, so that it was read before, and without.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from examples.word_problems import problems
from fettle.cli.up import free_port
from fettle.inference.client import Engine, Servable
from fettle.registry.catalog import STARTER
from fettle.settings import Settings
from fettle.storage import LocalStorage, artifacts
from worker.engine.model_pool import MAX_ADAPTERS

FEW, ADAPTERS, AT_ONCE, TOKENS = 8, 32, 16, 48
REQUESTS = 96  # of a round
FIRSTS = 64
BEGINNING = 18  # problems with their answers, before the question


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.adapters")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, metavar="SLOTS", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve_with(asked.serve)
        return
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as name:
        folder = Path(name)
        models = asyncio.run(stored(folder))
        with serving(folder, ADAPTERS) as resident, serving(folder, FEW) as cycled:
            figures = asyncio.run(compare({"resident": resident, "cycled": cycled}, models, asked.rounds))
    print(json.dumps(figures, indent=2))


def serve_with(slots: int) -> None:
    from worker.engine import __main__, model_pool

    model_pool.MAX_ADAPTERS = slots
    __main__.main()


@contextmanager
def serving(folder: Path, slots: int) -> Iterator[str]:
    assert slots <= MAX_ADAPTERS
    url = f"http://127.0.0.1:{free_port()}"
    env = os.environ | {
        "FETTLE_ENGINE_URL": url,
        "FETTLE_DATA": str(folder / f"data{slots}"),
        "FETTLE_STORAGE_URL": str(folder / "storage"),
        "FETTLE_THREADS": "1",
        "FETTLE_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", "bench.adapters", "--serve", str(slots)], env=env)
    try:
        while not listens(url):
            if process.poll() is not None:
                raise SystemExit(f"The engine ended with status {process.returncode}.")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def listens(url: str) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", int(url.rsplit(":", 1)[1]))) == 0


async def stored(folder: Path) -> list[Servable]:
    """Random rank-8 adapters on every linear layer, as a job publishes them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    storage = LocalStorage(str(folder / "storage"))
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32), config)
    made = []
    for number in range(ADAPTERS):
        for name, parameter in peft.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        peft.save_pretrained(str(folder / "adapter"))
        await artifacts.upload(storage, folder / "adapter", f"adapters/{number}")
        made.append(Servable(f"ft:starter:bench::{number}", "starter", f"adapters/{number}"))
    return made


async def compare(urls: dict[str, str], models: Sequence[Servable], rounds: int) -> dict[str, Any]:
    engines = {kind: Engine(Settings(_env_file=None, engine_url=url)) for kind, url in urls.items()}  # type: ignore[call-arg]  # pydantic-settings takes it
    paces: dict[str, list[float]] = {kind: [] for kind in engines}
    for turn in range(rounds + 1):
        for kind, engine in engines.items():
            pace = await tokens_a_second(engine, models)
            if turn:  # the first one warms up: all adapters are loaded once
                paces[kind].append(pace)
    firsts: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(rounds + 1):
        for salted in firsts:
            found = await first_tokens(engines["resident"], salted)
            if turn:
                firsts[salted] += found
    for engine in engines.values():
        await engine.close()
    ratio = [cycled / resident for cycled, resident in zip(paces["cycled"], paces["resident"], strict=True)]
    return {
        "tokens_a_second": {kind: round(median(each)) for kind, each in paces.items()},
        "cycled_over_resident": round(median(ratio), 2),
        "first_token_ms_with_16_at_once": {
            "shared_beginning_read_before": shares(firsts[True]),
            "nothing_read_before": shares(firsts[False]),
        },
    }


def shares(seconds: Sequence[float]) -> dict[str, int]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {"p50": round(1000 * cuts[49]), "p99": round(1000 * cuts[98])}


async def tokens_a_second(engine: Engine, models: Sequence[Servable]) -> float:
    """Each request asks the next adapter."""
    questions = list(islice(problems("held_out", 99), AT_ONCE))
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> int:
        messages = [{"role": "user", "content": questions[number % AT_ONCE].question}]
        body = {"messages": messages, "max_tokens": TOKENS, "temperature": 0, "logit_bias": {"0": -100, "2": -100}}
        async with room:
            answer = await engine.generate(models[number % len(models)], body)
            content = b"".join([part async for part in answer.body])
            await answer.close()
        if answer.status != 200:
            raise SystemExit(f"Status {answer.status}: {content.decode()}")
        return int(json.loads(content)["usage"]["completion_tokens"])

    started = time.perf_counter()
    written = sum(await asyncio.gather(*map(one, range(REQUESTS))))
    return written / (time.perf_counter() - started)


async def first_tokens(engine: Engine, salted: bool) -> list[float]:
    """Seconds of each request until it has its first token."""
    base = Servable("starter", "starter", project_id="bench" if salted else None)
    source = problems("train", 7)
    shown = [
        {"role": role, "content": text}
        for problem in islice(source, BEGINNING)
        for role, text in (("user", problem.question), ("assistant", problem.row("reasoned")["completion"]))
    ]
    room = asyncio.Semaphore(AT_ONCE)

    async def one(question: str) -> float:
        messages = [*shown, {"role": "user", "content": question}]
        async with room:
            started = time.perf_counter()
            body = {"messages": messages, "max_tokens": 16, "temperature": 0, "stream": True}
            answer = await engine.generate(base, body)
            seconds = None
            async for part in answer.body:
                if seconds is None and b'"content":' in part.replace(b'"content":""', b""):
                    seconds = time.perf_counter() - started
            await answer.close()
        if seconds is None:
            raise SystemExit(f"No token came (status {answer.status}).")
        return seconds

    return await asyncio.gather(*(one(problem.question) for problem in islice(source, FIRSTS)))


if __name__ == "__main__":
    main()
