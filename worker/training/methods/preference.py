"""Trainers that learn from comparisons: what DPO's and the reward model's share."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import torch
from accelerate import Accelerator
from datasets import Dataset
from peft import PeftModel
from transformers import Trainer

from worker.training.distributed import ranks
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

    nothing_learned: ClassVar[str] = (
        "Write pairs whose two responses differ, and leave label_smoothing below 0.5: at 0.5 no response is preferred."
    )

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *rest: Any, **options: Any) -> torch.Tensor:
        self.visits += len(inputs["input_ids"]) // 2
        return super().training_step(model, inputs, *rest, **options)

    def validate(self) -> Metrics | None:
        """Every rank takes every n-th batch, and as many turns as the others: to hear a stop is a step of all."""
        names = ("loss", *self.shown.values())
        sums = torch.zeros(len(names) + 1, dtype=torch.float64, device=self.args.device)  # the last: pairs
        with ungathered(self.accelerator):
            for rows in ranks.turns(self.batches(range(len(cast(Dataset, self.eval_dataset))))):
                if rows:
                    found = self.figures(self.held_out(rows))
                    sums += torch.tensor(found, dtype=torch.float64, device=self.args.device)
                if self.channel.stop.is_set():
                    return None
        *totals, pairs = self.accelerator.reduce(sums).tolist()
        return {f"valid_{name}": total / pairs for name, total in zip(names, totals, strict=True)}

    def figures(self, inputs: dict[str, Any]) -> list[float]:
        """The loss and what is shown of a batch, each times its pairs, and then the pairs."""
        pairs = len(inputs["input_ids"]) // 2
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = cast(torch.Tensor, self.compute_loss(cast(PeftModel, self.model), inputs))
        shown = [self._metrics["eval"][theirs][-1] for theirs in self.shown]
        self._metrics["eval"].clear()
        return [*(pairs * value for value in (float(loss), *shown)), pairs]

    def batches(self, order: Sequence[int]) -> list[Sequence[int]]:
        """Rows of the validation file in this order, as many together as in training."""
        size = self.args.per_device_eval_batch_size
        return [order[first : first + size] for first in range(0, len(order), size)]

    def held_out(self, rows: Sequence[int]) -> dict[str, Any]:
        """A batch of the validation file, on the device."""
        batch = cast(Dataset, self.eval_dataset).select(rows).to_list()
        return cast(dict[str, Any], self._prepare_inputs(self.data_collator(batch)))

    def sampled(self, seed: int) -> Iterator[dict[str, Any]]:
        """The same in an order of its own, one batch at least, until the time that a comparison may take is over."""
        order = list(range(len(cast(Dataset, self.eval_dataset))))
        random.Random(seed).shuffle(order)
        deadline = time.monotonic() + COMPARING_SECONDS
        for rows in self.batches(order):
            self.channel.heed_stop()
            yield self.held_out(rows)
            if time.monotonic() > deadline:
                return

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Validation is logged as it is; TRL would add its own names."""
        if "valid_loss" in logs:
            Trainer.log(self, logs, start_time)
        else:
            super().log(logs, start_time)


@contextmanager
def ungathered(accelerator: Accelerator) -> Iterator[None]:
    """TRL's losses gather their metrics from all ranks. Here each rank keeps its own: the batches differ in size."""
    accelerator.gather = accelerator.gather_for_metrics = own  # in front of the class's, until they are deleted
    try:
        yield
    finally:
        del accelerator.gather, accelerator.gather_for_metrics


def own(figures: torch.Tensor) -> torch.Tensor:
    return figures


def names(shown: Mapping[str, str], training: Mapping[str, str]) -> dict[str, str]:
    """What a step reports: the metrics of every method, and those of its batch."""
    return {**training, **{theirs: f"train_{ours}" for theirs, ours in shown.items()}}
