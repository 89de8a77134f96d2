"""Sampling in the training child against PEFT's `generate`: CPU seconds, interleaved, in one process.

    python -m bench.sampling

Both sides answer the same prompts with the same adapter on the bundled base, at temperature 1, up to the same limit.
First greedily, where both must say the same, token for token. One torch thread; medians over the rounds. The two draw
differently, so that their tokens are counted, and the figure is CPU seconds a token.
"""

import argparse
import json
import time
from itertools import islice
from statistics import median

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig

from examples.word_problems import problems
from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from worker.training.model.loading import with_lora
from worker.training.rl.sampling.completions import Sampling, complete

LORA = {"rank": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear", "use_rslora": False}
MAX_TOKENS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    renderer = Renderer(STARTER)
    network = talkative()
    prompts = [
        renderer.prompt([{"role": "user", "content": problem.question}])
        for problem in islice(problems("train", 1), options.prompts)
    ]
    said = ours(network, renderer, prompts, 1, 0.0)[1]
    assert said == theirs(network, renderer, prompts, 1, 0.0)[1], "greedy completions differ"
    seconds: dict[str, list[float]] = {"ours": [], "generate": []}
    for _ in range(options.rounds):
        for name, side in (("ours", ours), ("generate", theirs)):
            spent, rows = side(network, renderer, prompts, options.group_size, 1.0)
            seconds[name].append(spent / sum(map(len, rows)))
    micro = {name: 1e6 * median(values) for name, values in seconds.items()}
    figures = {
        "completions": options.prompts * options.group_size,
        "cpu_microseconds_a_token": {name: round(value, 1) for name, value in micro.items()},
        "times_faster": round(micro["generate"] / micro["ours"], 2),
    }
    print(json.dumps(figures))


def talkative() -> PeftModel:
    """An adapter that changes what the base says."""
    network = with_lora(AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32), LORA, 7)
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return network.eval()


def ours(
    network: PeftModel, renderer: Renderer, prompts: list[list[int]], group_size: int, temperature: float
) -> tuple[float, list[list[int]]]:
    """CPU seconds, and the completions' tokens."""
    sampling = Sampling(MAX_TOKENS, frozenset({renderer.eos_id}), renderer.pad_id, temperature)
    started = time.process_time()
    said = complete(network, prompts, range(len(prompts) * group_size), sampling)
    return time.process_time() - started, said.rows()


def theirs(
    network: PeftModel, renderer: Renderer, prompts: list[list[int]], group_size: int, temperature: float
) -> tuple[float, list[list[int]]]:
    width = max(map(len, prompts))
    rows = [prompt for prompt in prompts for _ in range(group_size)]
    ids_BT = torch.tensor([[renderer.pad_id] * (width - len(row)) + row for row in rows])
    mask_BT = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        **({"do_sample": True, "top_k": 0} if temperature else {"do_sample": False}),
        max_new_tokens=MAX_TOKENS,
        eos_token_id=renderer.eos_id,
        pad_token_id=renderer.pad_id,
    )
    started = time.process_time()
    out_BT = network.generate(input_ids=ids_BT, attention_mask=mask_BT, generation_config=config)  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    spent = time.process_time() - started
    return spent, [until_eos(new, renderer.eos_id) for new in out_BT[:, width:].tolist()]


def until_eos(ids: list[int], eos_id: int) -> list[int]:
    return ids[: ids.index(eos_id) + 1] if eos_id in ids else ids


if __name__ == "__main__":
    main()
