"""Win rates, Bradley–Terry and flips, against arithmetic."""

import math
from typing import Any

import numpy as np
import pytest

from fettle.comparisons import strengths
from tests.fettle.comparisons.test_agreement import A_FIRST, B_FIRST, TIED, ballot

WRITERS = {"a": "base", "b": "tuned"}


def results(a_wins: int, b_wins: int, ties: int = 0) -> dict[str, Any]:
    orders = [A_FIRST] * a_wins + [B_FIRST] * b_wins + [TIED] * ties
    votes = [ballot(str(number), "x", *levels) for number, levels in enumerate(orders)]
    found = strengths.of_models(votes, WRITERS, ["base", "tuned"])
    assert found is not None
    return found


def test_two_models_differ_in_strength_by_the_logarithm_of_their_odds() -> None:
    best, worst = results(10, 30)["models"]
    assert (best["model"], best["win_rate"], worst["win_rate"]) == ("tuned", 0.75, 0.25)
    assert best["strength"] - worst["strength"] == pytest.approx(math.log(3), abs=0.01)
    assert best["interval"][0] < best["strength"] < best["interval"][1]


def test_a_tie_is_half_a_win_of_each() -> None:
    best, _ = results(0, 10, ties=10)["models"]
    assert best["win_rate"] == 0.75


def test_so_many_votes_must_flip_that_the_other_model_leads() -> None:
    """30 to 10: ten flips make 20 to 20, the eleventh turns the order."""
    assert results(10, 30)["flips"] == {"votes": 11, "upper": "tuned", "lower": "base"}


def test_one_model_alone_has_no_strength() -> None:
    assert strengths.of_models([ballot("1", "x", *A_FIRST)], dict.fromkeys("ab", "base"), ["base"]) is None


def test_a_model_that_always_wins_has_a_finite_strength() -> None:
    best, _ = results(0, 12)["models"]
    assert np.isfinite(best["strength"]) and best["interval"][1] < 20
