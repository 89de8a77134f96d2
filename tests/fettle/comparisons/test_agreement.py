"""Alpha, agreement and position bias, against arithmetic."""

import pytest

from fettle.comparisons import agreement
from fettle.comparisons.pairs import Ballot, Sign, signs


def ballot(item: str, annotator: str, *levels: list[str], **more: object) -> Ballot:
    shown = sorted(each for level in levels for each in level)
    base = {"item": item, "annotator": annotator, "choice": "ranking", "levels": list(levels) or None}
    return {**base, "shown": shown, "seconds": 1.0, **more}  # type: ignore[typeddict-item,return-value]


A_FIRST, B_FIRST, TIED = (["a"], ["b"]), (["b"], ["a"]), (["a", "b"],)


def test_a_ranking_says_all_its_pairs() -> None:
    assert list(signs([["c"], ["a", "b"]])) == [Sign("a", "b", 0), Sign("a", "c", -1), Sign("b", "c", -1)]


def test_alpha_is_one_when_all_agree() -> None:
    votes = [ballot("1", who, *A_FIRST) for who in "xy"] + [ballot("2", who, *B_FIRST) for who in "xy"]
    assert agreement.alpha(votes) == 1


def test_alpha_follows_krippendorffs_formula() -> None:
    """Values x: +1 +1 -1 0, y: +1 -1 -1 0. Observed: one unit of four differs, by 2² = 4: 2·4 of 8 values = 1.

    Expected: of 3 (+1), 3 (-1), 2 (0), ordered pairs: 2·3·3·4 + 2·3·2·1 + 2·3·2·1 = 96 of 8·7 = 56.
    """
    first = [A_FIRST, A_FIRST, B_FIRST, TIED]
    second = [A_FIRST, B_FIRST, B_FIRST, TIED]
    votes = [
        ballot(str(number), who, *levels)
        for who, taste in (("x", first), ("y", second))
        for number, levels in enumerate(taste)
    ]
    assert agreement.alpha(votes) == pytest.approx(1 - 1 / (96 / 56))


def test_alpha_needs_a_pair_with_two_votes() -> None:
    assert agreement.alpha([ballot("1", "x", *A_FIRST), ballot("2", "y", *A_FIRST)]) is None


def test_agreement_is_with_the_majority_of_the_others() -> None:
    votes = [ballot("1", who, *A_FIRST) for who in "xyz"] + [ballot("2", "x", *B_FIRST)]
    votes += [ballot("2", who, *A_FIRST) for who in "yz"]
    found = {each["annotator_id"]: each["agreement"] for each in agreement.of_annotators(votes)}
    assert found == {"x": 0.5, "y": 1.0, "z": 1.0}  # on item 2 the others of y are x and z, who cancel out


def test_an_annotator_who_always_takes_the_first_place_shows() -> None:
    votes = [ballot(str(number), "x", *A_FIRST, shown=["a", "b"]) for number in range(20)]
    (found,) = agreement.of_annotators(votes)
    assert found["position_bias"]["first_place_best"] == 1
    assert found["position_bias"]["expected"] == 0.5
    assert found["position_bias"]["p_value"] == pytest.approx(2 * 0.5**20)
