"""Tokens per second of 16 answers at once, and the time to the first token: Fettle's engine, vLLM on the CPU and PEFT.

    make bench-peers
    python -m bench.peers.serving --base .fettle/models/smollm2-135m

Everybody gets the same prompts as token ids, greedy, 64 tokens at most: 16 of the base, then two of each of 8 adapters.
Engines are asked over HTTP and stream; vLLM is started twice, since LoRA slows its base. PEFT generates in a batch for
each adapter. Each computes with one torch thread. They take turns; speeds are medians of tokens per CPU second of all
its processes, so that a busy machine does not decide; times to the first token are wall-clock.
Checked in the same run: in float32 every answer of the engines is PEFT's. In bf16 equally likely tokens may change
places, so the share of equal answers is printed.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from bench.peers import lora
from bench.peers.lora import Answers, Wanted
from bench.peers.servers import HEADERS, NAME, Server, cpu_seconds, fettle, vllm
from examples.word_problems import problems
from fettle.datasets.formats.render import Renderer
from fettle.host import cpu
from fettle.registry.catalog import STARTER

ROWS, ADAPTERS, TOKENS = 16, 8, 64


@dataclass
class Seen:
    """Of one side and case, over the rounds. answers: of the last."""

    paces: list[float] = field(default_factory=list)  # tokens per CPU second
    firsts: list[float] = field(default_factory=list)  # seconds to a first piece of text, of each request
    answers: list[str] = field(default_factory=list)


Ask = Callable[[Wanted], tuple[list[str], int, list[float]]]  # → texts, tokens, seconds to the first of each
Side = tuple[Ask, int]  # and the process that answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=STARTER, help="folder of the base model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="*", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--without", nargs="*", default=[], choices=["vllm", "peft"], help="peers to leave out")
    options = parser.parse_args()
    found: dict[str, dict[str, Seen]] = {}
    renderer = Renderer(options.base)
    chats = [[{"role": "user", "content": problem.question}] for problem in islice(problems("held_out", 99), ROWS)]
    prompts = [renderer.prompt(chat) for chat in chats]
    names = [f"adapter{number}" for number in range(ADAPTERS)]
    cases: dict[str, Wanted] = {
        "base": [(None, prompt) for prompt in prompts],
        "adapters": [(names[row % ADAPTERS], prompt) for row, prompt in enumerate(prompts)],
    }
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as scratch:
        folder = Path(scratch)
        lora.make(options.base, names, folder / "adapters")
        for bf16 in precisions(options):
            with ExitStack() as stack:
                sides = started(stack, options, folder, renderer, bf16=bf16)
                for turn in range(options.rounds + 1):
                    for case, wanted in cases.items():
                        for name, side in sides[case].items():
                            seen = found.setdefault(case, {}).setdefault(name, Seen())
                            measure(seen, side, wanted, warm=turn == 0)
                            if turn:
                                print(
                                    f"{turn}  {case:9}{name:13}{seen.paces[-1]:8.1f} tokens per CPU second", flush=True
                                )
    figures = {case: {name: summary(one, found[case]) for name, one in seen.items()} for case, seen in found.items()}
    print(json.dumps(figures))
    for case, sides_of in figures.items():
        for name, figure in sides_of.items():
            if name.endswith("fp32") and figure.get("answers_as_peft", ROWS) != ROWS:
                raise SystemExit(f"{name}, {case}: {figure['answers_as_peft']} of {ROWS} answers are PEFT's")


def precisions(options: argparse.Namespace) -> list[bool]:
    """Whether bf16. Not where this CPU, or so small a base, gains nothing from it."""
    return [kind == "bf16" for kind in options.kinds if kind == "fp32" or cpu.bf16_pays(options.base)]


def started(
    stack: ExitStack, options: argparse.Namespace, folder: Path, renderer: Renderer, *, bf16: bool
) -> dict[str, dict[str, Side]]:
    """By case and name. All of them in one precision, but PEFT, which has float32."""
    kind, adapters = "bf16" if bf16 else "fp32", sorted((folder / "adapters").glob("adapter*"))
    ours = engine(stack.enter_context(fettle(options.base, adapters, folder / f"fettle-{kind}", bf16=bf16)))
    sides: dict[str, dict[str, Side]] = {
        "base": {f"fettle {kind}": ours},
        "adapters": {f"fettle {kind}": ours},
    }
    if "vllm" not in options.without:
        for case, loras in (("base", []), ("adapters", adapters)):
            server = stack.enter_context(vllm(options.base, loras, folder / f"vllm-{kind}-{case}", bf16=bf16))
            sides[case][f"vllm {kind}"] = engine(server)
    if "peft" not in options.without and not bf16:
        asked, pid = stack.enter_context(lora.peft(options.base, adapters))

        def generated(wanted: Wanted) -> tuple[list[str], int, list[float]]:
            asked.send((wanted, TOKENS))
            answers: Answers = asked.recv()
            return [renderer.tokenizer.decode(ids, skip_special_tokens=True) for ids in answers], total(answers), []

        for case in sides:
            sides[case]["peft fp32"] = generated, pid
    return sides


def total(answers: Answers) -> int:
    return sum(map(len, answers))


def measure(seen: Seen, side: Side, wanted: Wanted, *, warm: bool) -> None:
    ask_for, pid = side
    before = cpu_seconds(pid)
    answers, tokens, firsts = ask_for(wanted)
    seconds = cpu_seconds(pid) - before
    if not warm:
        seen.paces.append(tokens / seconds)
        seen.firsts += firsts
        seen.answers = answers


def engine(server: Server) -> Side:
    return lambda wanted: asyncio.run(ask_all(server.url, wanted)), server.pid


async def ask_all(url: str, wanted: Wanted) -> tuple[list[str], int, list[float]]:
    async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=600, trust_env=False) as client:
        answers = await asyncio.gather(*(ask(client, name or NAME, prompt) for name, prompt in wanted))
    texts, tokens, firsts = zip(*answers, strict=True)
    return list(texts), sum(tokens), list(firsts)


async def ask(client: httpx.AsyncClient, model: str, prompt: list[int]) -> tuple[str, int, float]:
    """Text, tokens, seconds to the first piece."""
    body: dict[str, Any] = {"model": model, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    began, first, text, tokens = time.perf_counter(), 0.0, "", 0
    async with client.stream("POST", "/v1/completions", json=body) as answer:
        if not answer.is_success:
            raise SystemExit(f"{client.base_url} answers {(await answer.aread()).decode()}")
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            piece = "".join(choice["text"] for choice in chunk["choices"])
            if piece and not text:
                first = time.perf_counter() - began
            text += piece
            tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
    return text, tokens, first


def summary(seen: Seen, sides: dict[str, Seen]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "tokens_per_cpu_second": round(median(seen.paces), 1),
        "lowest": round(min(seen.paces), 1),
        "highest": round(max(seen.paces), 1),
    }
    if seen.firsts:
        percentiles = quantiles(seen.firsts, n=100, method="inclusive")
        figures |= {
            "first_token_p50_ms": round(1000 * percentiles[49]),
            "first_token_p99_ms": round(1000 * percentiles[98]),
        }
    if (theirs := sides.get("peft fp32")) and theirs is not seen:
        figures["answers_as_peft"] = sum(one == other for one, other in zip(seen.answers, theirs.answers, strict=True))
    return figures


if __name__ == "__main__":
    main()
