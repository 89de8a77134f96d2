"""Make the starter base model: tokenizer, then a small Qwen3 pretrained on a mixture of blurted and reasoned answers.

    python -m assets.starter.make --steps 5000 --out assets/starter

The mixture is what makes it behave like a real base. Most completions blurt an answer out and are often wrong; the
rest reason in small steps and are right. The reasoning ability is in the weights, but greedy decoding does not use
it. One core, about a second a step; the same seed gives the same text, and nearly the same weights.
"""

import argparse
import copy
import json
import math
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from examples.word_problems import OPERATIONS, Problem, problems

BLURTED_SHARE = 0.7
FOUNDATION = 0.4  # share of the steps in which few answers are blurted, so that arithmetic is learned first
FOUNDATION_BLURTED_SHARE = 0.1
BLURT = {"right": 0.2, "slip": 0.45, "near_miss": 0.35}  # what a blurted answer is, with which probability
SYSTEM_PROMPTS = ("You are a helpful assistant.", "You are a careful tutor.", "Solve the problem.")
SYSTEM_SHARE = 0.1
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VOCABULARY = 768
CHAT_TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8")


def blurt(problem: Problem, rng: random.Random) -> int:
    """An answer given without thinking: right, a slip (stops early, wrong operator), or off by a little."""
    kind = rng.choices(list(BLURT), list(BLURT.values()))[0]
    left, operator, right, _ = problem.steps[-1]
    if kind == "right":
        return problem.answer
    if kind == "slip":
        if len(problem.steps) > 1:
            return problem.steps[0][3]
        return abs(OPERATIONS["+" if operator != "+" else "-"](left, right))
    return max(0, problem.answer + rng.choice([-10, -2, -1, 1, 2, 10]))


def documents(seed: int, foundation: int = 0) -> Iterator[tuple[str, str]]:
    """(prompt, completion) texts in the chat template's form; the first `foundation` of them seldom blurt."""
    rng = random.Random(seed)
    for index, problem in enumerate(problems("train", seed)):
        blurted_share = FOUNDATION_BLURTED_SHARE if index < foundation else BLURTED_SHARE
        system = f"{TURN_START}system\n{rng.choice(SYSTEM_PROMPTS)}{TURN_END}\n" if rng.random() < SYSTEM_SHARE else ""
        prompt = f"{system}{TURN_START}user\n{problem.question}{TURN_END}\n{TURN_START}assistant\n"
        if rng.random() < blurted_share:
            completion = f"<answer>{blurt(problem, rng)}</answer>"
        else:
            completion = problem.row("reasoned")["completion"]
        yield prompt, completion + TURN_END


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text can be encoded; every digit is a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((a + b for a, b in islice(documents(seed), 20_000)), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def make_network(vocabulary: int) -> Qwen3ForCausalLM:
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=2048,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            tie_word_embeddings=True,
            initializer_range=0.05,  # the default, 0.02, suits hidden sizes of thousands
            eos_token_id=2,
            pad_token_id=0,
            bos_token_id=None,
        )
    )


def batches(tokenizer: PreTrainedTokenizerFast, size: int, steps: int, seed: int) -> Iterator[torch.Tensor]:
    """ids (B, T), padded with 0. Not sorted by length: that would make batches of one template, hard to learn from."""
    stream = documents(seed, foundation=int(size * steps * FOUNDATION))
    for _ in range(steps):
        rows = [tokenizer.encode(prompt + completion) for prompt, completion in islice(stream, size)]
        width = max(map(len, rows))
        yield torch.tensor([ids + [0] * (width - len(ids)) for ids in rows])


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))


@torch.inference_mode()
def accuracy(network: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, opening: str, count: int) -> float:
    """Share of held-out problems answered correctly, greedily, when the completion starts with `opening`."""
    network.eval()
    right = 0
    stream = list(islice(problems("held_out", seed=7), count))
    tokenizer.padding_side = "left"
    for i in range(0, count, 100):
        chunk = stream[i : i + 100]
        texts = [f"{TURN_START}user\n{p.question}{TURN_END}\n{TURN_START}assistant\n{opening}" for p in chunk]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False)
        output = network.generate(**inputs, do_sample=False, max_new_tokens=48)
        replies = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        right += sum(f"<answer>{p.answer}</answer>" in opening + reply for p, reply in zip(chunk, replies, strict=True))
    network.train()
    return right / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--out", type=Path, default=Path("assets/starter"))
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    tokenizer = make_tokenizer(options.seed)
    network = make_network(len(tokenizer))
    parameters = sum(p.numel() for p in network.parameters())
    print(f"{parameters:,} parameters, vocabulary {len(tokenizer)}", flush=True)
    optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.98), weight_decay=0.05)
    started = time.monotonic()
    for step, ids_BT in enumerate(batches(tokenizer, options.batch, options.steps, options.seed)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options.steps, options.learning_rate)
        hidden_BTH = network.model(input_ids=ids_BT, attention_mask=(ids_BT != 0).long()).last_hidden_state
        real_BT = ids_BT[:, 1:] != 0
        logits_NV = network.lm_head(hidden_BTH[:, :-1][real_BT])
        loss = F.cross_entropy(logits_NV, ids_BT[:, 1:][real_BT])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 250 == 0:
            scores = {mode: accuracy(network, tokenizer, mode, 100) for mode in ("<answer>", "<think>")}
            print(f"{step + 1} loss {loss.item():.4f} {scores} {time.monotonic() - started:.0f} s", flush=True)
        if (step + 1) % 1000 == 0 or step + 1 == options.steps:
            save(network, tokenizer, options.out)
    final = {
        "steps": options.steps,
        "batch": options.batch,
        "seed": options.seed,
        "parameters": parameters,
        "held_out_problems": 1000,
        "accuracy_blurted": accuracy(network, tokenizer, "<answer>", 1000),
        "accuracy_reasoned": accuracy(network, tokenizer, "<think>", 1000),
        "accuracy_greedy": accuracy(network, tokenizer, "", 1000),
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    (options.out / "measured.json").write_text(json.dumps(final, indent=2) + "\n")
    print(json.dumps(final, indent=2))


def save(network: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """bf16 safetensors plus tokenizer; the fp32 weights in memory stay as they are."""
    out.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(network).to(torch.bfloat16).save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)  # safetensors keeps it from every other user
    tokenizer.padding_side = "right"
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main()
