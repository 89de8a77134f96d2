"""What a batch of rewards would teach; every figure against arithmetic written here."""

from typing import Any

import pytest

from fettle.rewards import diagnostics
from fettle.rewards.diagnostics import diagnose

Group = list[float | None]


def rows(*groups: Group, cut_off: int = 0) -> list[dict[str, Any]]:
    made = [
        {"group": number, "reward": reward, "scores": {"f": reward}, "tokens": 10 * (1 + number), "stop_reason": "stop"}
        for number, group in enumerate(groups)
        for reward in group
    ]
    for row in made[:cut_off]:
        row["stop_reason"] = "length"
    return made


def codes(*groups: Group, highest: float = 1.0, errors_at_most: float = 0.2, cut_off: int = 0) -> list[str]:
    seen = diagnose(rows(*groups, cut_off=cut_off))
    return [warn.code for warn in diagnostics.warnings(seen, highest=highest, errors_at_most=errors_at_most)]


class TestFigures:
    def test_mean_spread_and_the_share_of_dead_groups(self) -> None:
        seen = diagnose(rows([0, 1], [1, 1], [0, 0], [0.5, 1.5]))
        assert seen.rewards.mean == 0.625  # 5 ÷ 8
        assert seen.rewards.std == pytest.approx(0.54486, abs=1e-5)  # √(Σr² ÷ 8 − 0.625²) = √(0.6875 − 0.390625)
        assert (seen.rewards.min, seen.rewards.max) == (0, 1.5)
        assert (seen.groups, seen.dead_groups) == (4, 0.5)
        assert seen.completion_length_mean == 25  # (10 + 20 + 30 + 40) ÷ 4

    def test_a_completion_without_a_reward_belongs_to_no_group(self) -> None:
        seen = diagnose(rows([None, 1], [0, None, 1], [None, None]))
        assert (seen.groups, seen.dead_groups) == (1, 0.0)  # one completion alone is above nothing
        assert seen.errors == pytest.approx(4 / 7)
        assert seen.scores["f"].mean == pytest.approx(2 / 3)

    def test_nothing_known_is_none_and_not_0(self) -> None:
        seen = diagnose(rows([None, None]))
        assert (seen.rewards.mean, seen.dead_groups, seen.errors) == (None, None, 1.0)
        assert diagnose([]).completions == 0

    def test_rewards_that_differ_by_rounding_are_equal(self) -> None:
        assert diagnose(rows([0.1 + 0.2, 0.3])).dead_groups == 1


class TestWarnings:
    @pytest.mark.parametrize(
        ("groups", "expected"),
        [
            ([[0, 0], [0, 0]], ["nothing_earned"]),
            ([[-1, -1], [-1, -1]], ["nothing_earned"]),
            ([[1, 1], [1, 1]], ["all_earned"]),
            ([[0.2, 0.2], [0.2, 0.2]], ["all_equal"]),
            ([[0, 0], [1, 1]], ["no_spread"]),
            ([[0, 0], [1, 1], [0, 0], [0, 0], [0, 1]], ["mostly_dead"]),
            ([[0, 0], [1, 1], [0, 0], [0, 1]], []),
            ([[0, 1], [1, 0]], []),
        ],
    )
    def test_what_teaches_nothing_is_told_by_its_kind(self, groups: list[Group], expected: list[str]) -> None:
        assert codes(*groups) == expected

    def test_the_full_reward_is_the_sum_of_the_weights(self) -> None:
        graders = [{"weight": 1.0}, {"weight": 0.2}, {"weight": -3.0}]
        assert diagnostics.highest(graders) == pytest.approx(1.2)
        assert codes([1.2, 1.2], highest=1.2) == ["all_earned"]
        assert codes([1.0, 1.0], highest=1.2) == ["all_equal"]

    def test_graders_that_fail_more_often_than_a_job_allows_are_told(self) -> None:
        assert codes([None, 0, 1], [0, 1, 1]) == []  # 1 ÷ 6
        assert codes([None, 0, 1], [0, 1]) == []  # 1 ÷ 5 is not more than 20 %
        assert codes([None, None, 1], [0, 1, 1]) == ["grader_errors"]
        assert codes([None, 0, 1], [0, 1, 1], errors_at_most=0.1) == ["grader_errors"]

    def test_completions_that_are_nearly_all_cut_off_are_told(self) -> None:
        assert codes([0, 1, 0], [1, 0], cut_off=4) == ["cut_off"]
        assert codes([0, 1, 0], [1, 0], cut_off=3) == []

    def test_every_warning_names_a_way_out(self) -> None:
        for groups in ([[0.0, 0.0]], [[1.0, 1.0]], [[0.5, 0.5]], [[0.0, 0.0], [1.0, 1.0]]):
            (warn,) = diagnostics.warnings(diagnose(rows(*groups)), highest=1, errors_at_most=0.2)
            assert "the model will learn nothing" in warn.message
            assert any(verb in warn.message for verb in ("Use ",))


def test_a_sentence_for_people() -> None:
    assert diagnostics.sentence(diagnose(rows([0, 1], [1, 1]))) == (
        "reward 0.75 ± 0.433, all rewards equal in 50% of 2 groups"
    )
    assert diagnostics.sentence(diagnose(rows([None, None]))) == "no reward for 100% of 2 completions"
