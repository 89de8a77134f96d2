"""Many adapters through few places, and first tokens of prompts that begin alike; in one process, without HTTP.

    python -m bench.adapters [--rounds 3]

32 adapters in turn, 16 requests at a time, of 48 tokens each, on the starter with one torch thread: with 32 places, so
that all stay, and with 8. No more than 8 can then be decoded together, so 32 places are measured with 8 at a time too.
A request asks as the API does: for a name that is not loaded it loads the adapter and asks again. Rounds take turns;
ratios are of tokens a CPU second of the whole process, medians over the rounds. Then first tokens by the clock, 16 at a
time, behind a shared beginning: with a salt, so that it was read before, and without.
"""

import argparse
import asyncio
import dataclasses
import json
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from safetensors.torch import save_file

from examples.word_problems import problems
from fettle.registry import adapter_config, adapter_weights
from fettle.registry.adapter_weights import PREFIX, A, B
from fettle.registry.catalog import BUILT_IN
from fettle.storage import LocalStorage, artifacts
from worker.engine import model_pool
from worker.engine.decode_thread import DecodeThread
from worker.engine.errors import UnknownModel
from worker.engine.model_pool import Pool
from worker.engine.requests import Base, Request, Sampling

FEW, ADAPTERS, AT_ONCE, TOKENS, RANK = 8, 32, 16, 48, 8
REQUESTS = 96  # of a round
BEGINNING = 12  # problems with their answers, before the question


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.adapters")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        print(json.dumps(asyncio.run(compare(Path(folder), asked.rounds)), indent=2))


async def compare(folder: Path, rounds: int) -> dict[str, Any]:
    storage = LocalStorage(str(folder / "storage"))
    thread = DecodeThread(threads=1)
    pool = Pool({"starter": BUILT_IN["starter"]}, storage, folder / "cache", thread)
    base = await pool.base("starter")
    network = await pool.network(base)
    shapes = {name: shape for name, shape in network.linears.items() if not name.endswith("lm_head")}
    for number in range(ADAPTERS):
        await store(storage, folder / "adapter", str(number), shapes)
    endless = dataclasses.replace(base, ends=frozenset())  # nobody stops early
    prompts = [base.renderer.prompt(asked) for asked in questions(AT_ONCE)]
    arms = {"32_places": (ADAPTERS, AT_ONCE), "32_places_8_at_once": (ADAPTERS, FEW), "8_places": (FEW, AT_ONCE)}
    paces: dict[str, list[float]] = {arm: [] for arm in arms}
    for turn in range(rounds + 1):
        for arm, (places, at_once) in arms.items():
            await prepare(pool, places)
            pace = await tokens_a_cpu_second(pool, endless, prompts, at_once)
            if turn:  # the first one warms up: all adapters are read once
                paces[arm].append(pace)
    firsts: dict[str | None, list[float]] = {None: [], "bench": []}
    for turn in range(rounds + 1):
        for salt, seconds in firsts.items():
            measured = await first_tokens(thread, base, salt)
            if turn:
                seconds += measured
    await thread.stop()

    def ratio(arm: str) -> float:
        return round(median(mine / all_ for mine, all_ in zip(paces[arm], paces["32_places"], strict=True)), 2)

    return {
        "tokens_a_cpu_second": {arm: round(median(found)) for arm, found in paces.items()},
        "8_places_over_32": ratio("8_places"),
        "32_places_8_at_once_over_16": ratio("32_places_8_at_once"),
        "first_token_ms_16_at_once": {"nothing_read": shares(firsts[None]), "beginning_read": shares(firsts["bench"])},
    }


async def prepare(pool: Pool, places: int) -> None:
    """Not measured: every adapter in its place, or as many as there are places and the others where they left to."""
    model_pool.MAX_ADAPTERS = ADAPTERS + 1
    for number in range(ADAPTERS):
        await pool.load(str(number), f"adapters/{number}", "starter")
    model_pool.MAX_ADAPTERS = places + 1
    for adapter in pool.adapters.values():
        adapter.reserved_until = 0.0
    async with pool.room:
        await pool._make_room()
    model_pool.MAX_ADAPTERS = places


def questions(count: int, beginning: Sequence[dict[str, str]] = ()) -> list[list[dict[str, str]]]:
    found = islice(problems("held_out", 99), count)
    return [[*beginning, {"role": "user", "content": problem.question}] for problem in found]


async def store(storage: LocalStorage, folder: Path, name: str, shapes: dict[str, tuple[int, int]]) -> None:
    """A random adapter on every linear layer, as a job publishes it."""
    torch.manual_seed(int(name))
    folder.mkdir(exist_ok=True)
    tensors = {}
    for layer, (out, inner) in shapes.items():
        tensors[PREFIX + layer + A] = torch.randn(RANK, inner) / inner**0.5
        tensors[PREFIX + layer + B] = torch.randn(out, RANK) * 0.02
    save_file(tensors, folder / adapter_weights.NAME)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 2 * RANK}
    (folder / adapter_config.NAME).write_text(json.dumps({**config, "target_modules": "all-linear"}))
    await artifacts.upload(storage, folder, f"adapters/{name}")


async def tokens_a_cpu_second(pool: Pool, base: Base, prompts: list[list[int]], at_once: int) -> float:
    """Each request asks the next adapter."""
    room = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        name = str(number % ADAPTERS)
        async with room:
            while True:
                try:
                    _, adapter = await pool.find(name)
                except UnknownModel:
                    await pool.load(name, f"adapters/{name}", "starter")
                    continue
                assert adapter is not None
                adapter.reserved_until = 0.0
                request = asking(base, adapter.slot, prompts[number % AT_ONCE], TOKENS)
                pool.thread.submit(request)
                break
            await request.over.wait()

    started = time.process_time()
    await asyncio.gather(*map(one, range(REQUESTS)))
    return REQUESTS * TOKENS / (time.process_time() - started)


async def first_tokens(thread: DecodeThread, base: Base, salt: str | None) -> list[float]:
    """Seconds of each request until its first token."""
    shown = [
        {"role": role, "content": text}
        for problem in islice(problems("train", 7), BEGINNING)
        for role, text in (("user", problem.question), ("assistant", problem.row("reasoned")["completion"]))
    ]
    prompts = [base.renderer.prompt(asked) for asked in questions(AT_ONCE, shown)]

    async def one(prompt: list[int]) -> float:
        started = time.perf_counter()
        request = asking(base, None, prompt, 16, salt)
        thread.submit(request)
        await request.next()
        seconds = time.perf_counter() - started
        await request.over.wait()
        return seconds

    return await asyncio.gather(*map(one, prompts))


def asking(base: Base, slot: str | None, prompt: list[int], tokens: int, salt: str | None = None) -> Request:
    return Request(base, slot, prompt, Sampling(1, 0.0, 1.0, None, tokens, (), logprobs=0), salt=salt)


def shares(seconds: Sequence[float]) -> dict[str, int]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {"p50": round(1000 * cuts[49]), "p99": round(1000 * cuts[98])}


if __name__ == "__main__":
    main()
