"""The training child against a bare TRL script with the same seed and arguments: equal at every step."""

import pytest

from bench import equality
from bench._child import Run

pytestmark = pytest.mark.slow

STEPS = 3
TOLERANCE = 1e-4  # the same sums in another order


def assert_equal(bare: Run, child: Run, steps: int, metrics: set[str]) -> None:
    assert len(bare["steps"]) == len(child["steps"]) == steps
    found = equality.differences(bare, child)
    assert found.keys() == metrics
    assert max(found.values()) < TOLERANCE, found


@pytest.mark.parametrize("method", ["dpo", "reward_model"])
def test_comparisons_are_learned_as_by_the_script_in_the_second_epoch_too(method: str) -> None:
    bare, child = equality.both(method, STEPS, epochs=2)
    assert_equal(bare, child, 2 * STEPS, {"loss", "grad_norm"})
    assert child["steps"][-1]["train_loss"] < child["steps"][0]["train_loss"]


class TestGrpo:
    def test_drawing_by_generate_it_draws_earns_and_learns_what_the_script_does(self) -> None:
        bare, child = equality.both("reinforcement", STEPS, by_generate=True)
        assert_equal(bare, child, STEPS, {"loss", "grad_norm", "reward"})
        assert child["tokens"] == bare["tokens"]

    def test_from_the_completions_of_our_cache_the_script_learns_the_same(self) -> None:
        bare, child = equality.by_our_cache(STEPS)
        assert_equal(bare, child, STEPS, {"loss", "grad_norm", "reward"})
        assert child["tokens"] == bare["tokens"]
        assert any(len(ids) < 40 for ids in child["completions"][0])
