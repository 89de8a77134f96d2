"""The trainer arguments that all methods share, and why they are what they are."""

from typing import Any

import torch

from worker.training.distributed import ranks
from worker.training.model import device
from worker.training.model.device import DevicePlan
from worker.training.process.job_spec import Work

ROWS_AT_ONCE = 16  # on a GPU; a larger batch is accumulated, so that it costs time and not memory


def shared(work: Work) -> dict[str, Any]:
    """Cosine decay to zero: the last steps of a short run settle instead of jumping about the minimum."""
    batch_size = ranks.share(work.hyperparameters["batch_size"])
    at_once = rows_at_once(batch_size)
    plan = device.plan(work, at_once)
    return {
        "output_dir": str(work.out),
        "seed": work.seed,
        "num_train_epochs": work.hyperparameters["n_epochs"],
        "per_device_train_batch_size": at_once,
        "per_device_eval_batch_size": at_once,
        "gradient_accumulation_steps": batch_size // at_once,
        "learning_rate": work.hyperparameters["learning_rate"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": work.hyperparameters["warmup_ratio"],
        "use_cpu": not plan.on_gpu,
        "bf16": plan.precision == "bf16",
        "gradient_checkpointing": plan.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},  # the other kind knows no DDP
        "dataloader_pin_memory": plan.on_gpu,
        **(between_ranks(plan) if ranks.count() > 1 else {}),
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would replace what tells that a run diverged
        "include_num_input_tokens_seen": "all",  # batches hold no padding; unlike TRL's own count it survives a resume
        "save_strategy": "no",  # the callback says when
        "eval_strategy": "no",
        "disable_tqdm": True,
        "report_to": "none",
    }


def between_ranks(plan: DevicePlan) -> dict[str, Any]:
    """Every rank holds all of the model, and every weight that trains gets a gradient in every step."""
    return {"ddp_backend": "nccl" if plan.on_gpu else "gloo", "ddp_find_unused_parameters": False}


def rows_at_once(batch_size: int) -> int:
    """The largest divisor that fits: the batch is exactly what was asked for. A CPU takes all of it."""
    if not torch.cuda.is_available():
        return batch_size
    return next(rows for rows in range(min(batch_size, ROWS_AT_ONCE), 0, -1) if batch_size % rows == 0)
