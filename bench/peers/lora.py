"""What one would write with PEFT: its adapters in one model, and `generate`, which answers for one at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from bench.peers.servers import RANK

SPREAD = 0.02  # of B: enough for other answers, too little for noise

Wanted = Sequence[tuple[str | None, list[int]]]  # whose answer, None: the base's, to which prompt
Answers = list[list[int]]


def make(base: Path, names: Sequence[str], folder: Path) -> None:
    """Random adapters on every linear layer, a folder for each."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    network = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config, names[0])
    for name in names[1:]:
        network.add_adapter(name, config)
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=SPREAD)
    network.save_pretrained(str(folder))


@contextmanager
def peft(base: Path, adapters: Sequence[Path]) -> Iterator[tuple[Connection, int]]:
    """A process in float32, and its id. Send it what is wanted and the tokens of an answer at most; None ends it."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=answer, args=(base, adapters, theirs), daemon=True)
    process.start()
    try:
        ours.recv()  # it is ready
        yield ours, process.pid or 0
    finally:
        ours.send(None)
        process.join()


def answer(base: Path, adapters: Sequence[Path], asked: Connection) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    network = PeftModel.from_pretrained(plain, str(adapters[0]), adapters[0].name)
    for folder in adapters[1:]:
        network.load_adapter(str(folder), folder.name)
    network.eval()
    asked.send("ready")
    while job := asked.recv():
        wanted, tokens = job
        found: dict[int, list[int]] = {}
        for name in dict.fromkeys(name for name, _ in wanted):
            rows = [row for row, (whose, _) in enumerate(wanted) if whose == name]
            if name is None:
                with network.disable_adapter():
                    texts = generate(network, [wanted[row][1] for row in rows], tokens)
            else:
                network.set_adapter(name)
                texts = generate(network, [wanted[row][1] for row in rows], tokens)
            found |= dict(zip(rows, texts, strict=True))
        asked.send([found[row] for row in range(len(wanted))])


def generate(network: "object", prompts: list[list[int]], tokens: int) -> Answers:
    """Greedy, padded on the left; without the padding after an end."""
    import torch

    width, settings = max(map(len, prompts)), network.generation_config  # type: ignore[attr-defined]  # PEFT's
    ids_BT = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask_BT = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    output_BT = network.generate(input_ids=ids_BT, attention_mask=mask_BT, max_new_tokens=tokens, do_sample=False)  # type: ignore[attr-defined]  # as above
    ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    return [until_end(row, ends) for row in output_BT[:, width:].tolist()]


def until_end(ids: list[int], ends: list[int]) -> list[int]:
    """With the end token, which engines count too."""
    return next((ids[: place + 1] for place, token in enumerate(ids) if token in ends), ids)
