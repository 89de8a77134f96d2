"""Batches in parts give the losses and gradients of rows alone."""

from typing import Any

import pytest
import torch

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from tests.worker.training.children import rows
from tests.worker.training.networks import adapted
from worker.training.data.collation import Collator, grouped

pytestmark = pytest.mark.slow  # torch and transformers take seconds to import

Example = dict[str, list[int]]


def examples(count: int) -> list[Example]:
    renderer = Renderer(STARTER)
    found = []
    for row in rows(count):
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
        rendered = renderer.render(turns)
        labels = [token if lesson else -100 for token, lesson in zip(rendered.ids, rendered.supervised, strict=True)]
        found.append({"input_ids": rendered.ids, "labels": labels})
    return found


def block(several: list[Example]) -> Example:
    return {
        "input_ids": [token for one in several for token in one["input_ids"]],
        "labels": [label for one in several for label in one["labels"]],
        "seq_lengths": [len(one["input_ids"]) for one in several],
    }


class TestGrouping:
    def test_rows_are_sorted_by_length_and_cut_at_the_budget_padding_included(self) -> None:
        """2 × 9 = 18 fit 20, 3 × 9 do not; 3 × 5 = 15 do, 4 × 5 = 20 too."""
        assert grouped([5, 9, 2, 8, 5, 5], 20) == [[1, 3], [0, 4, 5, 2]]

    def test_a_row_beyond_the_budget_stands_alone(self) -> None:
        assert grouped([30, 1, 2], 20) == [[0], [2, 1]]


class TestCounts:
    def test_a_batch_shows_every_real_token_once_and_no_padding(self) -> None:
        given = examples(6)
        batch = Collator(pad_id=0, tokens_at_once=150)(given)
        assert batch["input_ids"].tolist() == [[token for one in given for token in one["input_ids"]]]
        assert len(batch["parts"]) > 1

    def test_the_labels_that_are_counted_are_those_of_the_parts(self) -> None:
        """The first token of a row is never a label: nothing predicts it."""
        given = [{"input_ids": [5, 6, 7], "labels": [5, 6, 7]}, {"input_ids": [8, 9], "labels": [8, 9]}]
        batch = Collator(pad_id=3, tokens_at_once=100)(given)
        assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9]]
        (part,) = batch["parts"]
        assert part["input_ids"].tolist() == [[5, 6, 7], [8, 9, 3]]
        assert part["labels"].tolist() == [[-100, 6, 7], [-100, 9, -100]]

    def test_a_packed_block_comes_apart_into_its_rows(self) -> None:
        given = examples(4)
        collator = Collator(pad_id=0, tokens_at_once=10_000)
        apart, packed = collator(given), collator([block(given)])
        assert packed["input_ids"].tolist() == apart["input_ids"].tolist()
        assert [part["input_ids"].shape for part in packed["parts"]] == [
            part["input_ids"].shape for part in apart["parts"]
        ]


def logprobs(network: Any, ids_BT: torch.Tensor, labels_BT: torch.Tensor) -> list[torch.Tensor]:
    """Of each row's labels, from plain logits."""
    logprobs_BTV = network(input_ids=ids_BT).logits.log_softmax(-1)
    found = []
    for row, labels_T in enumerate(labels_BT):
        at = (labels_T[1:] != -100).nonzero().flatten()
        found.append(logprobs_BTV[row, at, labels_T[1:][at]])
    return found


def test_no_row_sees_another_nor_any_padding() -> None:
    """Log-probabilities of rows packed, grouped and padded against each row alone."""
    network, given = adapted(STARTER).eval(), examples(8)
    batch = Collator(pad_id=0, tokens_at_once=200)([block(given[:5]), block(given[5:])])
    with torch.no_grad():
        together = {
            tuple(part["labels"][row][part["labels"][row] != -100].tolist()): found
            for part in batch["parts"]
            for row, found in enumerate(logprobs(network, part["input_ids"], part["labels"]))
        }
        for one in given:
            ids_1T, labels_1T = torch.tensor([one["input_ids"]]), torch.tensor([one["labels"]])
            (alone,) = logprobs(network, ids_1T, labels_1T)
            found = together[tuple(label for label in one["labels"] if label != -100)]
            assert (alone - found).abs().max() < 1e-5
    assert len(together) == 8


def test_the_gradient_of_the_parts_is_that_of_one_padded_batch() -> None:
    network, given = adapted(STARTER, fused=True).train(), examples(8)

    def gradient(tokens_at_once: int) -> torch.Tensor:
        batch = Collator(pad_id=0, tokens_at_once=tokens_at_once)(given)
        labels = (batch["labels"][:, 1:] != -100).sum()
        network.zero_grad()
        for part in batch["parts"]:
            outputs = network(**part, use_cache=False, fused_lm_head=True)
            (-outputs.log_probs.sum() / labels).backward()
        return torch.cat([tensor.grad.flatten() for tensor in network.parameters() if tensor.grad is not None])

    whole, parts = gradient(100_000), gradient(130)
    assert (whole - parts).abs().max() < 1e-5 * whole.abs().max()
