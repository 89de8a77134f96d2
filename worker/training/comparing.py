"""Trainers that learn from comparisons: what DPO's and the reward model's share."""

import random
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import Trainer

from worker.training.trainer import Metrics, Tuner

COMPARING_SECONDS = 300.0


class Comparing(Tuner):
    """Validates with the loss and the metrics that the trainer of TRL computes, weighted by pairs.

    shown: TRL's names of the metrics of a batch → ours, without `train_` or `valid_`.
    """

    shown: ClassVar[Mapping[str, str]]
    _metrics: dict[str, dict[str, list[float]]]  # TRL's, of the batches since they were last logged

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        """The rows are tokenised and measured already."""
        return dataset

    def validate(self) -> Metrics | None:
        """Every rank takes all batches: TRL gathers each batch's figures from all of them."""
        sums: dict[str, float] = defaultdict(float)
        pairs = 0
        for inputs in self.held_out(range(len(cast(Dataset, self.eval_dataset)))):
            size = len(inputs["input_ids"]) // 2
            with torch.no_grad(), self.compute_loss_context_manager():
                loss = cast(torch.Tensor, self.compute_loss(cast(PeftModel, self.model), inputs))
            sums["valid_loss"] += size * float(loss)
            for theirs, ours in self.shown.items():
                sums[f"valid_{ours}"] += size * self._metrics["eval"][theirs][-1]
            pairs += size
            self._metrics["eval"].clear()
            if self.channel.stop.is_set():
                return None
        return {name: total / pairs for name, total in sums.items()}

    def held_out(self, order: Any) -> Iterator[dict[str, Any]]:
        """Batches of the validation file, on the device, rows in this order."""
        dataset, size = cast(Dataset, self.eval_dataset), self.args.per_device_eval_batch_size
        rows = list(order)
        for first in range(0, len(rows), size):
            batch = dataset.select(rows[first : first + size]).to_list()
            yield cast(dict[str, Any], self._prepare_inputs(self.data_collator(batch)))

    def sampled(self, seed: int) -> Iterator[dict[str, Any]]:
        """The same in an order of its own, one batch at least, until the time that a comparison may take is over."""
        order = list(range(len(cast(Dataset, self.eval_dataset))))
        random.Random(seed).shuffle(order)
        deadline = time.monotonic() + COMPARING_SECONDS
        for inputs in self.held_out(order):
            self.channel.heed_stop()
            yield inputs
            if time.monotonic() > deadline:
                return

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Validation is logged as it is; TRL would add its own names."""
        if "valid_loss" in logs:
            Trainer.log(self, logs, start_time)
        else:
            super().log(logs, start_time)


def names(shown: Mapping[str, str], training: Mapping[str, str]) -> dict[str, str]:
    """What a step reports: the metrics of every method, and those of its batch."""
    return {**training, **{theirs: f"train_{ours}" for theirs, ours in shown.items()}}
