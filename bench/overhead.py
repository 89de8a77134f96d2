"""Tokens per second of the service's training child against a bare TRL script, interleaved in one run; equal losses.

    python -m bench.overhead --gsm8k gsm8k/train.jsonl
    python -m bench.overhead
    python -m bench.overhead --gsm8k gsm8k/train.jsonl --rows 32 --batch 8 --base .fettle/models/smollm2-135m

The bare script is what people write: `SFTTrainer` with its stock settings on rows of messages that it tokenises
itself, the same base model, LoRA, batch size, seed, order of rows and cosine. Its settings differ from TRL's defaults
only in what a CPU cannot do (bf16, gradient checkpointing) or what would change the work compared (row lengths,
saving).

Counted is `trainer.train()`, tokenisation and start left out: CPU time of the training process, so that a busy
machine does not decide. Losses in fp32 must be equal at every step to a relative 1e-3. Where this CPU computes in
bf16 and the base is large enough to gain from it, that is a run of its own; the bare script stays in fp32, TRL's
default on a CPU. Its first loss, before any update, must be equal to 2^-8: one rounding to bf16 (8 bits of mantissa).
Later losses must be equal to 4e-2. A first step of Adam moves every weight by the learning rate, however small its
gradient is, so that weights whose gradient is below the rounding move at random.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from bench import _child
from bench._child import LORA, SEED
from examples import gsm8k, word_problems
from fettle.host import cpu
from fettle.registry.catalog import STARTER
from worker.training.model import device

RATE = 8e-4
FIRST = {"plain": 1e-3, "bf16": 2**-8}  # tolerance of the loss before any update, and at every step
TOLERANCE = {"plain": 1e-3, "bf16": 4e-2}

# What TRL needs to know of a template that it has no training form of: which of ChatML's tokens are the model's own
TURN = "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
MARKED_TURN = (
    "{{'<|im_start|>' + message['role'] + '\n'}}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{message['content'] + '<|im_end|>'}}{% endgeneration %}"
    "{% else %}{{message['content'] + '<|im_end|>'}}{% endif %}{{'\n'}}"
)

Series = dict[str, Any]  # losses by step, tokens, seconds of CPU time, of a run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsm8k", type=Path, help="train.jsonl of GSM8K; without it the word problems of the examples")
    parser.add_argument("--base", type=Path, default=STARTER, help="folder of the base model")
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = dataset(options.gsm8k, options.rows)
    names = ["bare", "plain", "packed", *(["bf16"] if cpu.bf16_pays(options.base) else [])]
    runs: dict[str, list[Series]] = {name: [] for name in names}
    for repeat in range(options.repeats):
        for name in names:
            found = in_a_process(name, rows, options.base, options.batch)
            runs[name].append(found)
            pace = found["tokens"] / found["seconds"]
            print(f"{repeat + 1}  {name:7} {pace:8.0f} tokens/s  peak {found['peak'] / 2**30:.2f} GiB", flush=True)
    pace = {name: median(run["tokens"] / run["seconds"] for run in found) for name, found in runs.items()}
    apart = {name: differences(runs["bare"][0], runs[name][0]) for name in TOLERANCE if name in runs}
    worst = {name: max(found) for name, found in apart.items()}
    figures = {
        "rows": len(rows),
        "tokens": runs["plain"][0]["tokens"],
        "steps": len(runs["plain"][0]["losses"]),
        "first_relative_loss_difference": {name: float(f"{found[0]:.1e}") for name, found in apart.items()},
        "worst_relative_loss_difference": {name: float(f"{value:.1e}") for name, value in worst.items()},
        "tokens_equal": runs["bare"][0]["tokens"] == runs["plain"][0]["tokens"],
        "bare_tokens_per_second": round(pace["bare"]),
        "over_bare": {name: round(pace[name] / pace["bare"], 2) for name in names[1:]},
        "peak_gib": {name: round(max(run["peak"] for run in found) / 2**30, 2) for name, found in runs.items()},
    }
    print(json.dumps(figures))
    if wrong := {name: each for name, each in apart.items() if each[0] > FIRST[name] or max(each) > TOLERANCE[name]}:
        raise SystemExit(f"the losses differ by {wrong}, more than {FIRST} at first or {TOLERANCE} later")


def differences(one: Series, other: Series) -> list[float]:
    """Relative ones of the losses, by step."""
    return [abs(a - b) / a for a, b in zip(one["losses"], other["losses"], strict=True)]


def dataset(path: Path | None, count: int) -> list[dict[str, str]]:
    if path is None:
        return [problem.row("reasoned") for problem in islice(word_problems.problems("train", 1), count)]
    return [problem.row("reasoned") for problem in islice(gsm8k.problems(path), count)]


def in_a_process(name: str, rows: list[dict[str, str]], base: Path, batch: int) -> Series:
    """A new one each time, so that no run finds what another has warmed up."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=RUNS[name], args=(rows, base, batch, theirs))
    process.start()
    theirs.close()
    found: Series = ours.recv()
    process.join()
    return found


def bare(rows: list[dict[str, str]], base: Path, batch: int, answer: Any) -> None:
    """A script as TRL's documentation has it."""
    _child.quiet()
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = tokenizer.chat_template.replace(TURN, MARKED_TURN)
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=str(base),
            args=SFTConfig(
                output_dir=folder,
                seed=SEED,
                num_train_epochs=1,
                per_device_train_batch_size=batch,
                learning_rate=RATE,
                lr_scheduler_type="cosine",
                max_length=2048,
                assistant_only_loss=True,
                model_init_kwargs={"dtype": "float32"},
                include_num_input_tokens_seen="non_padding",
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                logging_steps=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            processing_class=tokenizer,
            train_dataset=Dataset.from_list([messages(row) for row in rows]),
            peft_config=LoraConfig(
                r=LORA["rank"],
                lora_alpha=LORA["alpha"],
                lora_dropout=LORA["dropout"],
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            ),
        )
        started = time.process_time()
        trainer.train()
        seconds = time.process_time() - started
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    answer.send(series(losses, trainer.state.num_input_tokens_seen, seconds))


def series(losses: list[float], tokens: int, seconds: float) -> Series:
    return {"losses": losses, "tokens": tokens, "seconds": seconds, "peak": device.peaks()["peak_memory_bytes"]}


def messages(row: dict[str, str]) -> dict[str, Any]:
    turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
    return {"messages": turns}


def plain(rows: list[dict[str, str]], base: Path, batch: int, answer: Any) -> None:
    child(rows, base, answer, batch_size=batch)


def bf16(rows: list[dict[str, str]], base: Path, batch: int, answer: Any) -> None:
    child(rows, base, answer, cpu_bf16=True, batch_size=batch)


def packed(rows: list[dict[str, str]], base: Path, batch: int, answer: Any) -> None:
    """Blocks of up to 2048 tokens, as many in a batch as hold about as many rows."""
    tokens = sum(len(row["prompt"]) + len(row["completion"]) for row in rows) / 2  # about; the starter's are short
    child(rows, base, answer, batch_size=max(1, round(batch * tokens / len(rows) / 2048)), packing=True)


def child(
    rows: list[dict[str, str]], base: Path, answer: Any, *, cpu_bf16: bool = False, **hyperparameters: Any
) -> None:
    values = {"learning_rate": RATE, **hyperparameters}
    found = _child.run("supervised", rows, values, base=base, cpu_bf16=cpu_bf16)
    answer.send(series([step["train_loss"] for step in found["steps"]], found["tokens"], found["seconds"]))


RUNS = {"bare": bare, "plain": plain, "packed": packed, "bf16": bf16}

if __name__ == "__main__":
    main()
