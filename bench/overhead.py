"""Tokens per second of the service's training child against a bare TRL script, interleaved in one run; equal losses.

    python -m bench.overhead --gsm8k gsm8k/train.jsonl
    python -m bench.overhead

The bare script is what people write: `SFTTrainer` with its stock settings on rows of messages that it tokenises itself,
the same base model, LoRA, batch size, seed, order of rows and cosine. Its settings differ from TRL's defaults only in
what a CPU cannot do (bf16, gradient checkpointing) or what would change the work compared (row lengths, saving).

Counted is `trainer.train()`, tokenisation and start left out: CPU time of the training process, so that a busy machine
does not decide. Losses must be equal at every step to a relative 1e-3.
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
from fettle.registry.catalog import STARTER

BATCH, RATE = 16, 8e-4
TOLERANCE = 1e-3  # of the loss: the same sums in another order, step after step

Series = dict[str, Any]  # losses by step, tokens, seconds of CPU time, of a run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsm8k", type=Path, help="train.jsonl of GSM8K; without it the word problems of the examples")
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = dataset(options.gsm8k, options.rows)
    runs: dict[str, list[Series]] = {"bare": [], "plain": [], "packed": []}
    for repeat in range(options.repeats):
        for name in runs:
            runs[name].append(in_a_process(name, rows))
            found = runs[name][-1]
            print(f"{repeat + 1}  {name:7} {found['tokens'] / found['seconds']:8.0f} tokens/s", flush=True)
    bare, plain = runs["bare"][0]["losses"], runs["plain"][0]["losses"]
    worst = max(abs(one - other) / one for one, other in zip(bare, plain, strict=True))
    pace = {name: median(run["tokens"] / run["seconds"] for run in found) for name, found in runs.items()}
    figures = {
        "rows": len(rows),
        "tokens": runs["plain"][0]["tokens"],
        "steps": len(plain),
        "worst_relative_loss_difference": float(f"{worst:.1e}"),
        "tokens_equal": runs["bare"][0]["tokens"] == runs["plain"][0]["tokens"],
        "bare_tokens_per_second": round(pace["bare"]),
        "plain_over_bare": round(pace["plain"] / pace["bare"], 2),
        "packed_over_bare": round(pace["packed"] / pace["bare"], 2),
    }
    print(json.dumps(figures))
    if worst > TOLERANCE:
        raise SystemExit(f"the losses differ by {worst:.1e}, more than {TOLERANCE}")


def dataset(path: Path | None, count: int) -> list[dict[str, str]]:
    if path is None:
        return [problem.row("reasoned") for problem in islice(word_problems.problems("train", 1), count)]
    return [problem.row("reasoned") for problem in islice(gsm8k.problems(path), count)]


def in_a_process(name: str, rows: list[dict[str, str]]) -> Series:
    """A new one each time, so that no run finds what another has warmed up."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=RUNS[name], args=(rows, theirs))
    process.start()
    theirs.close()
    found: Series = ours.recv()
    process.join()
    return found


def bare(rows: list[dict[str, str]], answer: Any) -> None:
    """A script as TRL's documentation has it."""
    _child.quiet()
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=str(STARTER),
            args=SFTConfig(
                output_dir=folder,
                seed=SEED,
                num_train_epochs=1,
                per_device_train_batch_size=BATCH,
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
    answer.send({"losses": losses, "tokens": trainer.state.num_input_tokens_seen, "seconds": seconds})


def messages(row: dict[str, str]) -> dict[str, Any]:
    turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
    return {"messages": turns}


def plain(rows: list[dict[str, str]], answer: Any) -> None:
    child(rows, answer, batch_size=BATCH)


def packed(rows: list[dict[str, str]], answer: Any) -> None:
    """Blocks of up to 2048 tokens, as many in a batch as hold about as many rows."""
    tokens = sum(len(row["prompt"]) + len(row["completion"]) for row in rows) / 2  # about; the starter's are short
    child(rows, answer, batch_size=max(1, round(BATCH * tokens / len(rows) / 2048)), packing=True)


def child(rows: list[dict[str, str]], answer: Any, **hyperparameters: Any) -> None:
    found = _child.run("supervised", rows, {"learning_rate": RATE, **hyperparameters})
    losses = [step["train_loss"] for step in found["steps"]]
    answer.send({"losses": losses, "tokens": found["tokens"], "seconds": found["seconds"]})


RUNS = {"bare": bare, "plain": plain, "packed": packed}

if __name__ == "__main__":
    main()
