"""The trainer arguments that all methods share, and why they are what they are."""

from typing import Any

import torch

from worker.training.work import Work

WARMUP = 0.05  # of the steps: Adam's second moment is noise at first, and LoRA's rates are high
ROWS_AT_ONCE = 16  # on a GPU; a larger batch is accumulated, so that it costs time and not memory


def shared(work: Work) -> dict[str, Any]:
    """Cosine decay to zero: the last steps of a short run settle instead of jumping about the minimum."""
    on_gpu = torch.cuda.is_available()
    batch_size = work.hyperparameters["batch_size"]
    at_once = rows_at_once(batch_size) if on_gpu else batch_size
    return {
        "output_dir": str(work.out),
        "seed": work.seed,
        "num_train_epochs": work.hyperparameters["n_epochs"],
        "per_device_train_batch_size": at_once,
        "per_device_eval_batch_size": at_once,
        "gradient_accumulation_steps": batch_size // at_once,
        "learning_rate": work.hyperparameters["learning_rate"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": WARMUP,
        "use_cpu": not on_gpu,
        "bf16": bf16(),
        "gradient_checkpointing": on_gpu,
        "dataloader_pin_memory": on_gpu,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would replace what tells that a run diverged
        "include_num_input_tokens_seen": "non_padding",  # unlike TRL's own count it goes on over a resume
        "save_strategy": "no",  # the callback says when
        "eval_strategy": "no",
        "disable_tqdm": True,
        "report_to": "none",
    }


def bf16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def rows_at_once(batch_size: int) -> int:
    """The largest divisor that fits: the batch is exactly what was asked for."""
    return next(rows for rows in range(min(batch_size, ROWS_AT_ONCE), 0, -1) if batch_size % rows == 0)
