"""What people write who use TRL by itself, a plain script for each method: stock trainers on rows of text.

They differ from TRL's defaults in what a CPU cannot do (bf16, gradient checkpointing), in what the service does
otherwise (LoRA, a cosine, no limit on lengths, dropout as it was asked for), and in saying what they log.
"""

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench._child import LORA, SEED, Line, Run, quiet
from examples.evaluation import ANSWER
from fettle.registry.catalog import STARTER

COMMON: dict[str, Any] = {
    "seed": SEED,
    "lr_scheduler_type": "cosine",
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
}
LOADED: dict[str, Any] = {"model_init_kwargs": {"dtype": "float32"}}


def dataset(rows: Sequence[Line]) -> Any:
    """The prompt is the chat up to where the assistant begins."""
    from datasets import Dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STARTER)
    chats = [[{"role": "user", "content": row["prompt"]}] for row in rows]
    texts = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
    return Dataset.from_list([{**row, "prompt": text} for row, text in zip(rows, texts, strict=True)])


def lora(task: str) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=LORA["rank"],
        lora_alpha=LORA["alpha"],
        lora_dropout=LORA["dropout"],
        target_modules="all-linear",
        task_type=task,
    )


def dpo(rows: Sequence[Line], asked: dict[str, Any]) -> Run:
    quiet()
    from trl import DPOConfig, DPOTrainer

    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        trainer = DPOTrainer(
            model=str(STARTER),
            args=DPOConfig(output_dir=folder, max_length=None, **COMMON, **LOADED, **asked),
            train_dataset=dataset(rows),
            peft_config=lora("CAUSAL_LM"),
        )
        return trained(trainer)


def reward_model(rows: Sequence[Line], asked: dict[str, Any]) -> Run:
    """The head is drawn at random, and the adapter: a seed for each says which."""
    quiet()
    from peft import get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed
    from trl import RewardConfig, RewardTrainer

    set_seed(SEED)
    base = AutoModelForSequenceClassification.from_pretrained(STARTER, num_labels=1, dtype="float32")
    set_seed(SEED)
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        trainer = RewardTrainer(
            model=get_peft_model(base, lora("SEQ_CLS")),
            args=RewardConfig(output_dir=folder, max_length=None, disable_dropout=False, **COMMON, **asked),
            train_dataset=dataset(rows),
            processing_class=AutoTokenizer.from_pretrained(STARTER),
        )
        return trained(trainer)


def grpo(rows: Sequence[Line], asked: dict[str, Any], completions: list[list[list[int]]] | None = None) -> Run:
    """completions: ids to learn from, by step, in the place of what the trainer would sample."""
    quiet()
    from trl import GRPOConfig, GRPOTrainer

    def replay(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        return {
            "prompt_ids": trainer.processing_class(prompts)["input_ids"],
            "completion_ids": (completions or []).pop(0),
            "logprobs": None,
        }

    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        trainer = GRPOTrainer(
            model=str(STARTER),
            reward_funcs=[answer_correct, think_format],
            args=GRPOConfig(output_dir=folder, reward_weights=[1.0, 0.2], **COMMON, **LOADED, **asked),
            train_dataset=dataset(rows),
            peft_config=lora("CAUSAL_LM"),
            rollout_func=replay if completions is not None else None,
        )
        return trained(trainer)


def answer_correct(completions: list[str], answer: list[str], **_: Any) -> list[float]:
    return [right(completion, wanted) for completion, wanted in zip(completions, answer, strict=True)]


def think_format(completions: list[str], **_: Any) -> list[float]:
    return [reasoned(completion) for completion in completions]


def right(text: str, answer: str) -> float:
    found = ANSWER.search(text)
    return float(found is not None and int(found[1]) == int(answer))


def reasoned(text: str) -> float:
    """One thought, first, and something after it: as the service's `think_format` has it."""
    once = text.count("<think>") == text.count("</think>") == 1
    return float(once and re.match(r"\s*<think>.+?</think>.*\S", text, re.DOTALL) is not None)


def trained(trainer: Any) -> Run:
    started = time.process_time()
    trainer.train()
    seconds = time.process_time() - started
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    return {"steps": steps, "tokens": steps[-1]["num_tokens"], "seconds": seconds}


BARE: dict[str, Callable[..., Run]] = {"dpo": dpo, "reward_model": reward_model, "reinforcement": grpo}
