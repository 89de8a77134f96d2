"""How well a network says what the rows of a file say: loss and accuracy over supervised tokens, each counted once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset

from worker.training.data.collation import Collator, Part, grouped, rows_of


@dataclass(frozen=True)
class LossSum:
    """Sums over supervised tokens. loss_sum: nats."""

    loss_sum: float = 0.0
    right: int = 0
    tokens: int = 0
    rows: int = 0

    def __add__(self, other: "LossSum") -> "LossSum":
        return LossSum(
            self.loss_sum + other.loss_sum,
            self.right + other.right,
            self.tokens + other.tokens,
            self.rows + other.rows,
        )

    @property
    def loss(self) -> float:
        return self.loss_sum / self.tokens

    @property
    def accuracy(self) -> float:
        return self.right / self.tokens

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 100))


class HeldOut:
    """A validation file cut into parts of similar length, for scoring in any order."""

    def __init__(self, dataset: Dataset, collator: Collator) -> None:
        self.dataset, self.collator = dataset, collator
        lengths = [len(ids) for ids in dataset.with_format("arrow")["input_ids"]]
        self.groups = grouped(lengths, collator.tokens_at_once)

    def part(self, group: Sequence[int]) -> Part:
        rows = self.dataset[list(group)]
        examples = [
            {"input_ids": ids, "labels": labels} for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True)
        ]
        return self.collator.padded([row for example in examples for row in rows_of(example)])


@torch.no_grad()
def score(network: torch.nn.Module, part: Part) -> LossSum:
    """network: in evaluation mode, with TRL's fused LM head."""
    device = next(network.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in part.items()}
    outputs = network(**inputs, use_cache=False, fused_lm_head=True)
    return LossSum(
        loss_sum=-outputs.log_probs.double().sum().item(),
        right=int(outputs.is_top1.sum().item()),
        tokens=int(outputs.label_mask.sum().item()),
        rows=len(part["input_ids"]),
    )
