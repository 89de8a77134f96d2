"""Batches as the network takes them: parts of rows of similar length, with next to no padding.

The gradient of a batch is the sum over its rows, however they are cut into forward passes; each part's loss is divided
by the labels of the whole batch. Rows are sorted by length, so that a part is padded to the length of its own longest
row. Padding stands on the right, where a causal network never looks back from a real token: no attention mask is
needed, and attention runs in the kernels that take none. Measured on a CPU, 16 rows of 60 to 737 tokens: 3.5 times
faster than one padded batch, loss and gradients equal to 3e-7.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fettle.estimates import memory
from worker.training.data.supervised import IGNORED

# Enough to keep the device busy. More only leaves a CPU's caches; on a GPU it bounds the memory.
TOKENS_AT_ONCE = {"cpu": memory.TOKENS_AT_ONCE["cpu"], "cuda": memory.TOKENS_AT_ONCE["gpu"]}
OF_A_CPU_IN_BF16 = 512  # on a Xeon with AMX 5 % faster than 1,024, and 0.7 GiB less (SmolLM2-135M)

Part = dict[str, torch.Tensor]  # input_ids, labels: BT
Row = tuple[torch.Tensor, torch.Tensor]  # ids, labels: T


def tokens_at_once(device: str, *, bf16: bool) -> int:
    """Of a forward pass, on a device of this type."""
    return OF_A_CPU_IN_BF16 if bf16 and device == "cpu" else TOKENS_AT_ONCE[device]


@dataclass(frozen=True)
class Collator:
    """From rows, or packed blocks of them, to one batch.

    The batch is `parts` and, for whoever counts tokens and labels, all rows one after the other (1N).
    """

    pad_id: int
    tokens_at_once: int

    def __call__(self, examples: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
        rows = [row for example in examples for row in rows_of(example)]
        groups = grouped([len(ids_T) for ids_T, _ in rows], self.tokens_at_once)
        return {
            "input_ids": torch.cat([ids_T for ids_T, _ in rows])[None],
            "labels": torch.cat([labels_T for _, labels_T in rows])[None],
            "parts": [self.padded([rows[row] for row in group]) for group in groups],
        }

    def padded(self, rows: Sequence[Row]) -> Part:
        longest = max(len(ids_T) for ids_T, _ in rows)
        ids_BT = torch.full((len(rows), longest), self.pad_id)
        labels_BT = torch.full((len(rows), longest), IGNORED)
        for row, (ids_T, labels_T) in enumerate(rows):
            ids_BT[row, : len(ids_T)] = ids_T
            labels_BT[row, : len(ids_T)] = labels_T
        return {"input_ids": ids_BT, "labels": labels_BT}


def rows_of(example: dict[str, list[int]]) -> Iterator[Row]:
    lengths = example.get("seq_lengths") or [len(example["input_ids"])]
    ids_N, labels_N = torch.tensor(example["input_ids"]), torch.tensor(example["labels"])
    for ids_T, labels_T in zip(torch.split(ids_N, lengths), torch.split(labels_N, lengths), strict=True):
        labels_T[0] = IGNORED  # nothing predicts the first token
        yield ids_T, labels_T


def grouped(lengths: Sequence[int], tokens_at_once: int) -> list[list[int]]:
    """Row numbers in groups, longest first; with its padding a group has at most `tokens_at_once`, or one row."""
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= tokens_at_once:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups
