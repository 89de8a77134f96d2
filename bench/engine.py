"""Eight adapters answering in one batch against PEFT's `generate`, adapter by adapter; interleaved, in one process.

    python -m bench.engine

Every answer has 64 tokens, greedy, and must be the same, token for token, on both sides. The engine's time is that of
its decode thread with everything around it: admission, prompts, sampling, text. PEFT has the adapters loaded, switches
with `set_adapter` and generates in batches, padded on the left. One torch thread. Ratios are of CPU seconds of the
whole process, medians over the rounds: what else runs on the machine hardly matters. First pieces are wall-clock time.
"""

import asyncio
import dataclasses
import json
import random
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from examples.word_problems import problems
from fettle.registry.catalog import STARTER
from worker.engine.decode_thread import DecodeThread
from worker.engine.model_pool import read_base
from worker.engine.networks import Network
from worker.engine.requests import Base, Request, Sampling

ADAPTERS, PROMPTS, TOKENS, ROUNDS = 8, 4, 64, 7
BUSY_TOKENS = 400
Wanted = list[tuple[str | None, list[int]]]  # whose answer, to which prompt


def main() -> None:
    torch.set_num_threads(1)
    base = dataclasses.replace(read_base("starter", STARTER, 2048), ends=frozenset())  # nobody stops early
    chats = [[{"role": "user", "content": problem.question}] for problem in islice(problems("held_out", 99), PROMPTS)]
    prompts = [base.renderer.prompt(chat) for chat in chats]
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        names = [f"adapter{number}" for number in range(ADAPTERS)]
        peft, network = loaded(base, names, Path(folder))
        asyncio.run(compare(base, peft, network, names, prompts))


def loaded(base: Base, names: Sequence[str], folder: Path) -> tuple[PeftModel, Network]:
    """Random rank-8 adapters on every linear layer, the same for both sides."""
    torch.manual_seed(0)
    plain = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    peft = get_peft_model(plain, config, names[0])
    for name in names[1:]:
        peft.add_adapter(name, config)
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.4)
    peft.eval().save_pretrained(str(folder))
    plain.generation_config.eos_token_id = None
    network = Network(base)
    for name in names:
        network.attach(name, network.read(folder / name))
    return peft, network


async def compare(
    base: Base, peft: PeftModel, network: Network, names: Sequence[str], prompts: list[list[int]]
) -> None:
    thread = DecodeThread(threads=1)
    await thread.call(lambda: thread.networks.update({base.name: network}))
    cases: dict[str, tuple[Sequence[str | None], list[list[int]]]] = {
        "8_adapters_4_prompts": (names, prompts),
        "8_adapters_1_prompt": (names, prompts[:1]),
        "1_adapter_4_prompts": (names[:1], prompts),
        "base_32_prompts": ([None], prompts * ADAPTERS),
    }
    seconds: dict[str, tuple[list[float], list[float]]] = {case: ([], []) for case in cases}
    for turn in range(ROUNDS + 1):
        for case, (who, what) in cases.items():
            peft_seconds, theirs = sequential(peft, base, who, what)
            engine_seconds, ours = await mixed(thread, base, who, what)
            if ours != theirs:
                raise SystemExit(f"{case}: the tokens differ")
            if turn:  # the first one warms up
                seconds[case][0].append(peft_seconds)
                seconds[case][1].append(engine_seconds)
    ratios = {case: round(median(theirs) / median(ours), 2) for case, (theirs, ours) in seconds.items()}
    mixture, ceiling = (median(seconds[case][1]) for case in ("8_adapters_4_prompts", "base_32_prompts"))
    firsts = [await first_piece(thread, base, names, prompts) for _ in range(ROUNDS)]
    await thread.stop()
    figures: dict[str, Any] = {
        "greedy_tokens_identical": True,
        "peft_generate_over_engine": ratios,
        "share_of_base_only_throughput": round(ceiling / mixture, 2),
        "first_piece_ms_alone": round(1000 * median(alone for alone, _ in firsts), 1),
        "first_piece_ms_beside_32_rows": round(1000 * median(beside for _, beside in firsts), 1),
    }
    print(json.dumps(figures, indent=2))


def sequential(
    peft: PeftModel, base: Base, who: Sequence[str | None], prompts: list[list[int]]
) -> tuple[float, list[list[int]]]:
    """Seconds, and the tokens of every answer."""
    width = max(map(len, prompts))
    ids_BT = torch.tensor([[base.renderer.pad_id] * (width - len(prompt)) + prompt for prompt in prompts])
    mask_BT = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    options = {"max_new_tokens": TOKENS, "do_sample": False}
    answers: list[list[int]] = []
    started = time.process_time()
    for name in who:
        if name is None:
            with peft.disable_adapter():
                output_BT = peft.generate(input_ids=ids_BT, attention_mask=mask_BT, **options)  # type: ignore[no-untyped-call]  # PEFT leaves it untyped
        else:
            peft.set_adapter(name)
            output_BT = peft.generate(input_ids=ids_BT, attention_mask=mask_BT, **options)  # type: ignore[no-untyped-call]  # PEFT leaves it untyped
        answers += output_BT[:, width:].tolist()
    return time.process_time() - started, answers


async def mixed(
    thread: DecodeThread, base: Base, who: Sequence[str | None], prompts: list[list[int]]
) -> tuple[float, list[list[int]]]:
    """All at once. The tokens are asked for as logprobs are: by id."""
    started = time.process_time()
    requests = [request(base, name, prompt, TOKENS) for name in who for prompt in prompts]
    for one in requests:
        thread.submit(one)
    answers = [await tokens(one) for one in requests]
    return time.process_time() - started, answers


def request(base: Base, name: str | None, prompt: list[int], max_tokens: int) -> Request:
    return Request(base, name, prompt, Sampling(1, 0.0, 1.0, None, max_tokens, (), logprobs=0))


async def tokens(one: Request) -> list[int]:
    ids: list[int] = []
    while not one.over.is_set() or not one.queue.empty():
        ids += [detail.token for detail in (await one.next()).logprobs]
    return ids


async def first_piece(
    thread: DecodeThread, base: Base, names: Sequence[str], prompts: list[list[int]]
) -> tuple[float, float]:
    """Seconds until a request says something: by itself, and while 32 rows are being decoded."""

    async def measured() -> float:
        one = request(base, names[0], random.choice(prompts), TOKENS)
        started = time.perf_counter()
        thread.submit(one)
        await one.next()
        seconds = time.perf_counter() - started
        one.cancel()
        return seconds

    alone = await measured()
    busy = [request(base, name, prompt, BUSY_TOKENS) for name in names for prompt in prompts]
    for one in busy:
        thread.submit(one)
    for one in busy:
        await one.next()
    beside = await measured()
    for one in busy:
        one.cancel()
    await asyncio.sleep(0.2)  # they have left
    return alone, beside


if __name__ == "__main__":
    main()
