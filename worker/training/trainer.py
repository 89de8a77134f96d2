"""TRL's SFT trainer on batches in parts; its warm-up begins above zero, its validation leaves no trace."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from trl.trainer.sft_trainer import SFTTrainer

from worker.training import ranks, validation
from worker.training.channel import Channel
from worker.training.collation import Collator
from worker.training.validation import HeldOut, Score


class Tuner(SFTTrainer):
    def __init__(self, *, channel: Channel, data_collator: Collator, **options: Any) -> None:
        super().__init__(data_collator=data_collator, **options)
        self.channel = channel
        self.held_out = HeldOut(self.eval_dataset, data_collator) if self.eval_dataset is not None else None
        self.right = self.supervised = torch.zeros((), device=self.args.device, dtype=torch.long)

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Forward and backward, part by part; ranks share their gradients at the last one only."""
        *others, last = inputs["parts"]
        loss = torch.zeros((), device=self.args.device)
        for part in others:
            with self.accelerator.no_sync(model):
                loss += super().training_step(model, part, num_items_in_batch)  # type: ignore[no-untyped-call]
        loss += super().training_step(model, last, num_items_in_batch)  # type: ignore[no-untyped-call]
        return loss

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Cross-entropy: the part's sum over the labels of the whole batch, of all ranks, whose mean DDP takes."""
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        labels = outputs.label_mask.sum()
        self.right = self.right + outputs.is_top1.sum()
        self.supervised = self.supervised + labels
        loss: torch.Tensor = -outputs.log_probs.sum() / num_items_in_batch
        if self.aux_loss_enabled:  # a mixture of experts balances their load
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss * labels / num_items_in_batch
        return loss * int(self.accelerator.num_processes)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            right, supervised = self.accelerator.reduce(torch.stack([self.right, self.supervised])).tolist()
            logs["mean_token_accuracy"] = right / supervised
            self.right = self.supervised = torch.zeros_like(self.right)
        super().log(logs, start_time)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Scores the validation file, each supervised token once. A stop breaks it off: then nothing is reported."""
        score = self.validate()
        if score is None:
            self.control.should_evaluate = False
            self.control.should_save = self.control.should_training_stop = True
            return {}
        logs = {"eval_loss": score.loss, "eval_mean_token_accuracy": score.accuracy}
        self.log(logs)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, logs)
        return logs

    def validate(self) -> Score | None:
        """Every rank takes every n-th part, and as many turns as the others: to hear a stop is a step of all."""
        assert self.held_out is not None  # noqa: S101 — nobody validates without a file
        groups = self.held_out.groups
        score = Score()
        network = cast(torch.nn.Module, self.model)
        network.eval()
        for first in range(0, len(groups), ranks.count()):
            own = first + self.accelerator.process_index
            if own < len(groups):
                score += validation.score(network, self.held_out.part(groups[own]))
            if self.channel.stop.is_set():
                return None
        counted = [score.loss_sum, score.right, score.tokens, score.rows]
        sums = torch.tensor(counted, dtype=torch.float64, device=self.args.device)
        loss_sum, right, tokens, rows = self.accelerator.reduce(sums).tolist()
        return Score(loss_sum, int(right), int(tokens), int(rows))

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        if self.lr_scheduler is None:
            warmup = self.args.get_warmup_steps(num_training_steps)
            shape: Callable[[int], float] = partial(share_of_rate, warmup=warmup, total=num_training_steps)
            self.lr_scheduler = LambdaLR(cast(torch.optim.Optimizer, optimizer or self.optimizer), shape)
            self._created_lr_scheduler = True
        return self.lr_scheduler


def share_of_rate(step: int, *, warmup: int, total: int) -> float:
    """Linear warm-up, then half a cosine to zero; transformers' schedule, but for a first step that does something.

    step: optimizer steps done. warmup: steps below the full rate; theirs begin with one at zero.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
