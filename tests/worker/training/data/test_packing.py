"""Which rows share a block."""

import random

import pytest
from datasets import Dataset

from worker.training.data.packing import best_fit_decreasing, pack

pytestmark = pytest.mark.slow  # datasets and pyarrow take seconds to import


def test_each_row_goes_into_the_fullest_block_that_has_room() -> None:
    """7 opens a block, 6 another; 4 fits the 6's (room 4), 3 the 7's (room 3), 2 opens a third."""
    assert best_fit_decreasing([2, 7, 3, 6, 4], 10) == [[1, 2], [3, 4], [0]]


def test_a_row_prefers_the_smaller_room() -> None:
    """After 8 and 5 the rooms are 2 and 5: a row of 2 fills the first."""
    assert best_fit_decreasing([8, 5, 2], 10) == [[0, 2], [1]]


def test_no_block_is_too_full_and_no_row_is_lost() -> None:
    rng = random.Random(1)
    lengths = [rng.randint(1, 100) for _ in range(500)]
    blocks = best_fit_decreasing(lengths, 100)
    assert sorted(row for block in blocks for row in block) == list(range(500))
    assert max(sum(lengths[row] for row in block) for block in blocks) <= 100
    assert len(blocks) < 1.02 * sum(lengths) / 100 + 1  # hardly more than there must be


def test_rows_of_a_block_stand_one_after_the_other_with_their_labels() -> None:
    rows = {"input_ids": [[1, 2], [3, 4, 5], [6]], "labels": [[-100, 2], [-100, 4, 5], [6]]}
    packed = pack(Dataset.from_dict(rows), 5)
    assert packed.to_list() == [
        {"input_ids": [3, 4, 5, 1, 2], "labels": [-100, 4, 5, -100, 2], "seq_lengths": [3, 2]},
        {"input_ids": [6], "labels": [6], "seq_lengths": [1]},
    ]
