"""One decode step of the engine in each precision, and its prompts: what packed weights and bf16 are worth on this CPU.

    python -m bench.decode_step
    python -m bench.decode_step --base .fettle/models/smollm2-135m

16 rows behind prompts of 48 tokens: all of the base, then two of each of 8 adapters. The kinds take turns in one
process. One torch thread; CPU milliseconds, the best of the rounds. Checked in the same run: the logits of a packed
network are the plain one's to 1e-3, and those in bf16 to a tenth of the largest.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from fettle.registry.catalog import STARTER
from worker.engine import packing
from worker.engine.cache import KeyValues
from worker.engine.model_pool import read_base
from worker.engine.networks import Network

ROWS, PROMPT, STEPS, ROUNDS, ADAPTERS, RANK = 16, 48, 10, 4, 8, 8
KINDS = {"fp32 plain": (False, False), "fp32 packed": (False, True), "bf16 packed": (True, True)}
TOLERANCE = {
    "fp32 packed": 1e-3,
    "bf16 packed": 0.1,
}  # of the largest logit; tests/worker/engine/test_networks.py says why


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=STARTER, help="folder of the base model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    networks = {kind: network(options.base, *how) for kind, how in KINDS.items()}
    ids_BT = torch.randint(0, 300, (ROWS, PROMPT), generator=torch.Generator().manual_seed(0))
    best: dict[str, dict[str, float]] = {}
    logits: dict[str, Tensor] = {}
    for _ in range(ROUNDS):
        for adapters in (0, ADAPTERS):
            for kind, each in networks.items():
                prompt, step, logits[kind] = timed(each, ids_BT, adapters)
                for name, value in (("prompt", prompt), ("step", step)):
                    row = best.setdefault(f"{name}_{adapters}_adapters", {})
                    row[kind] = min(row.get(kind, value), value)
            check(logits)
    for name, row in best.items():
        plain = row["fp32 plain"]
        print(name, {kind: f"{value:.1f} ms, {plain / value:.2f} ×" for kind, value in row.items()})
    print(json.dumps({name: {kind: round(value, 1) for kind, value in row.items()} for name, row in best.items()}))


def network(folder: Path, bf16: bool, packs: bool) -> Network:
    pack = packing.packed
    if not packs:
        packing.packed = lambda _: None
    try:
        made = Network(read_base("base", folder, 2048), cpu_bf16=bf16)
    finally:
        packing.packed = pack
    generator = torch.Generator().manual_seed(1)
    for number in range(ADAPTERS):
        made.loras[str(number)] = {
            name: tuple(
                (torch.randn(shape, generator=generator) * 0.01).to(made.dtype) for shape in ((size, RANK), (RANK, out))
            )
            for name, (out, size) in made.linears.items()
            if "lm_head" not in name
        }
    return made


@torch.inference_mode()
def timed(network: Network, ids_BT: Tensor, adapters: int) -> tuple[float, float, Tensor]:
    """CPU milliseconds of the prompts and of a step, and the logits_BV of the prompts."""
    plan = network.plan([str(row * adapters // ROWS) for row in range(ROWS)]) if adapters else None
    cache, columns_T = Cache(layer_class_to_replicate=DynamicLayer), torch.arange(PROMPT)
    allowed_B1TT = (columns_T <= columns_T[:, None])[None, None].expand(ROWS, 1, -1, -1)
    started = time.process_time()
    logits_BV = network.logits(plan, ids_BT, columns_T[None].expand(ROWS, -1), allowed_B1TT, cache)
    prompt = time.process_time() - started
    past = KeyValues(network.config.num_hidden_layers, network.device)
    past.start(cache, [0] * ROWS, 1, STEPS)
    started = time.process_time()
    for _ in range(STEPS):
        network.logits(plan, ids_BT[:, :1], past.lengths_B[:, None], past.allowed(), past.cache)
        past.advance()
    return 1000 * prompt, 1000 * (time.process_time() - started) / STEPS, logits_BV


def check(logits: dict[str, Tensor]) -> None:
    right = logits["fp32 plain"]
    for kind, tolerance in TOLERANCE.items():
        off = float((logits[kind] - right).abs().max() / right.abs().max())
        if off > tolerance:
            raise SystemExit(f"the logits of {kind} are off by {off:.1e} of the largest")


if __name__ == "__main__":
    main()
