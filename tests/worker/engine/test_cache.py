import pytest
import torch
from transformers.cache_utils import Cache, DynamicLayer

from worker.engine.cache import KeyValues

HEADS, SIZE = 1, 1


def read(*columns: float) -> Cache:
    """What a prefill leaves: one row, one head, one number a position; the values are ten times the keys."""
    cache = Cache(layer_class_to_replicate=DynamicLayer)
    keys = torch.tensor(columns).view(1, HEADS, -1, SIZE)
    cache.update(keys, keys * 10, 0)
    return cache


def write(past: KeyValues, *numbers: float) -> tuple[list[list[float]], list[list[float]]]:
    """One step: what the rows see, keys and values."""
    keys_BHTD = torch.tensor(numbers).view(-1, HEADS, 1, SIZE)
    keys, values = past.cache.update(keys_BHTD, keys_BHTD * 10, 0)
    seen = [
        [row[0, allowed].flatten().tolist() for row, allowed in zip(part, past.allowed()[:, 0, 0], strict=True)]
        for part in (keys, values)
    ]
    past.advance()
    return seen[0], seen[1]


@pytest.fixture
def past() -> KeyValues:
    return KeyValues(1, torch.device("cpu"))


def test_each_row_sees_its_own_past_and_its_new_token(past: KeyValues) -> None:
    past.append(read(0.0, 0.0, 1.0, 2.0), 0, skipped=2, copies=1, width=8)  # two columns of padding
    past.append(read(3.0, 4.0, 5.0), 0, skipped=0, copies=2, width=8)
    keys, values = write(past, 6.0, 7.0, 8.0)
    assert keys == [[1, 2, 6], [3, 4, 5, 7], [3, 4, 5, 8]]
    assert values == [[10, 20, 60], [30, 40, 50, 70], [30, 40, 50, 80]]
    assert write(past, 9.0, 9.0, 9.0)[0] == [[1, 2, 6, 9], [3, 4, 5, 7, 9], [3, 4, 5, 8, 9]]


def test_the_last_row_takes_the_place_of_one_that_leaves(past: KeyValues) -> None:
    for number in (1.0, 2.0, 3.0, 4.0):
        past.append(read(*[number] * int(number)), 0, skipped=0, copies=1, width=8)
    order = past.remove([0, 2])
    assert order == [3, 1]
    assert write(past, 9.0, 8.0)[0] == [[4, 4, 4, 4, 9], [2, 2, 8]]
    assert past.remove([0, 1]) == []


def test_nothing_of_who_sat_there_before_is_left(past: KeyValues) -> None:
    """0 times NaN is NaN: a masked weight would not keep a diverged adapter's row from the next one."""
    past.append(read(1.0, torch.nan, torch.nan), 0, skipped=0, copies=1, width=8)
    past.append(read(2.0), 0, skipped=0, copies=1, width=8)
    past.remove([0])
    past.append(read(3.0), 0, skipped=0, copies=1, width=8)
    write(past, 4.0, 5.0)
    assert past.layers[0].keys[:2].isfinite().all()
    assert past.layers[0].values[:2].isfinite().all()


def test_the_rectangle_grows_with_its_rows_and_shrinks_when_it_is_far_too_large(past: KeyValues) -> None:
    past.append(read(1.0), 0, skipped=0, copies=1, width=600)
    assert past.layers[0].keys.shape == (8, HEADS, 640, SIZE)
    past.append(read(2.0), 0, skipped=0, copies=8, width=600)
    assert past.layers[0].keys.shape == (16, HEADS, 640, SIZE)
    past.remove(range(1, 9))
    past.append(read(3.0), 0, skipped=0, copies=1, width=100)
    assert past.layers[0].keys.shape == (8, HEADS, 128, SIZE)
    assert write(past, 7.0, 8.0)[0] == [[1, 7], [3, 8]]


def test_rows_that_begin_together_hold_what_rows_that_join_one_by_one_do() -> None:
    past = Cache(layer_class_to_replicate=DynamicLayer)
    keys_PHTD, values_PHTD = torch.randn(2, 2, 3, 4), torch.randn(2, 2, 3, 4)
    past.update(keys_PHTD, values_PHTD, 0)
    pads, copies, room = [2, 0], 2, 5
    together, joined = KeyValues(1, torch.device("cpu")), KeyValues(1, torch.device("cpu"))
    together.start(past, pads, copies, room)
    for row, pad in enumerate(pads):
        joined.append(past, row, pad, copies, 3 + room)
    assert together.lengths == joined.lengths == [1, 1, 3, 3]
    assert torch.equal(together.lengths_B, joined.lengths_B) and torch.equal(together.rows_B, joined.rows_B)
    for row, length in enumerate(together.lengths):
        for name in ("keys", "values"):
            mine, theirs = getattr(together.layers[0], name), getattr(joined.layers[0], name)
            assert torch.equal(mine[row, :, :length], theirs[row, :, :length])
            assert mine.isfinite().all() and mine.shape[2] == 3 + room
