"""pass@k against arithmetic."""

from itertools import combinations

import pytest

from fettle.advice import pass_at_k


def test_one_right_of_four() -> None:
    assert pass_at_k.of_prompt(4, 1, 1) == 1 / 4
    assert pass_at_k.of_prompt(4, 1, 2) == 1 / 2  # 3 of the 6 pairs have it
    assert pass_at_k.of_prompt(4, 1, 4) == 1


def test_none_and_all() -> None:
    assert [pass_at_k.of_prompt(8, 0, k) for k in (1, 4, 8)] == [0, 0, 0]
    assert [pass_at_k.of_prompt(8, 8, k) for k in (1, 4, 8)] == [1, 1, 1]


@pytest.mark.parametrize("right", range(6))
@pytest.mark.parametrize("k", range(1, 6))
def test_it_is_the_share_of_all_draws_that_hold_a_right_one(right: int, k: int) -> None:
    draws = list(combinations([True] * right + [False] * (5 - right), k))
    assert pass_at_k.of_prompt(5, right, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_it_is_not_the_biased_estimate() -> None:
    assert pass_at_k.of_prompt(10, 3, 5) == pytest.approx(1 - 21 / 252)
    assert pass_at_k.of_prompt(10, 3, 5) != pytest.approx(1 - 0.7**5)


def test_a_mean_is_over_prompts_with_enough_completions() -> None:
    assert pass_at_k.mean([(4, 1), (4, 4), (1, 1)], 2) == (1 / 2 + 1) / 2
    assert pass_at_k.mean([(1, 1)], 2) is None


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 5), (4, 1, 0)])
def test_counts_that_cannot_be_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="cannot be estimated"):
        pass_at_k.of_prompt(n, c, k)
