"""Seconds from what earlier jobs took, worked out by hand; and what is said where nothing was measured."""

from typing import Any

import pytest

from fettle.estimates import forecast
from fettle.estimates.amounts import Phase
from fettle.estimates.measurements import Earlier

SFT = Phase("supervised", 10, "tokens", 1000.0, 1000.0)
DPO = Phase("dpo", 10, "tokens", 1000.0, 1000.0)
GRPO = Phase("reinforcement", 10, "completions", 100.0, 5000.0)
SIZES = {"small": 100, "large": 400}


def ran(
    name: str = "supervised",
    seconds: float = 10.0,
    *,
    base: str = "small",
    setup: float = 2.0,
    other: float = 3.0,
    validated: int = 0,
    **units: Any,
) -> Earlier:
    phase = {"name": name, "steps": 1, "tokens": 1000, "completions": None, "seconds": seconds, **units}
    found = {"setup_seconds": setup, "other_seconds": other, "validated_rows": validated, "phases": [phase]}
    return Earlier(base, 0.0, found)


def likely(phase: Phase, earlier: list[Earlier], validated: int = 0, base: str = "small") -> float | None:
    seconds = forecast.forecast([phase], validated, base, earlier, SIZES).seconds
    return None if seconds is None else seconds.likely


def test_it_is_setup_and_steps_and_the_rest() -> None:
    assert likely(SFT, [ran()]) == pytest.approx(2 + 10 + 3)
    twice = Phase("supervised", 20, "tokens", 2000.0, 2000.0)
    assert likely(twice, [ran()]) == pytest.approx(2 + 20 + 3)


def test_of_several_jobs_the_median_counts_and_the_interval_holds_them_all() -> None:
    found = forecast.forecast([SFT], 0, "small", [ran(seconds=8), ran(seconds=10), ran(seconds=30)], SIZES)
    assert found.seconds is not None and found.seconds.likely == pytest.approx(15)
    assert found.seconds.low == pytest.approx(2 / 1.25 + 8 + 3 / 1.25)
    assert found.seconds.high == pytest.approx(2 * 1.25 + 30 + 3 * 1.25)
    assert found.basis == "The speed of 'supervised' is from 3 earlier jobs on 'small'."


def test_a_single_job_gives_a_wider_interval() -> None:
    found = forecast.forecast([SFT], 0, "small", [ran()], SIZES).seconds
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(15 / 1.5), pytest.approx(15 * 1.5))


def test_validation_is_paid_by_the_row() -> None:
    earlier = [ran(other=3), ran(other=13, validated=100)]
    assert likely(SFT, earlier) == pytest.approx(2 + 10 + 3)
    assert likely(SFT, earlier, validated=300) == pytest.approx(2 + 10 + 3 + 30)


def test_loading_and_publishing_are_those_of_the_same_method() -> None:
    earlier = [ran(), ran(), ran("dpo", setup=7, other=1), ran("supervised", base="large", setup=90)]
    assert likely(DPO, earlier) == pytest.approx(7 + 10 + 1)
    assert likely(SFT, earlier) == pytest.approx(2 + 10 + 3)
    validated = [ran("dpo", setup=7, other=23, validated=100), ran()]
    assert likely(DPO, validated, validated=50) == pytest.approx(7 + 10 + 3 + 10)


def test_without_a_job_of_the_method_it_borrows_one_and_says_so() -> None:
    found = forecast.forecast([DPO], 0, "small", [ran()], SIZES)
    assert found.seconds is not None and found.seconds.likely == pytest.approx(15)
    assert found.seconds.high == pytest.approx(2 * 1.5 + 10 * 3 + 3 * 1.5)
    assert found.basis == (
        "No job of 'dpo' has run on 'small' yet; the figure is from 1 job of 'supervised' on it and may be far off."
    )


def test_from_another_base_it_is_scaled_by_the_number_of_parameters() -> None:
    found = forecast.forecast([SFT], 0, "large", [ran()], SIZES)
    assert found.seconds is not None and found.seconds.likely == pytest.approx(2 + 40 + 3)
    assert "jobs on 'small', scaled by the number of parameters" in found.basis


def test_a_pace_in_tokens_says_nothing_about_completions() -> None:
    found = forecast.forecast([GRPO], 0, "small", [ran()], SIZES)
    assert found.seconds is None
    assert found.basis.startswith("No job that generates completions has finished on these workers yet")
    grpo = ran("reinforcement", 20.0, completions=200)
    assert likely(GRPO, [grpo]) == pytest.approx(2 + 10 + 3)
    assert likely(SFT, [grpo]) is None


def test_without_any_job_nothing_is_made_up() -> None:
    found = forecast.forecast([SFT], 0, "small", [], SIZES)
    assert (found.seconds, found.basis) == (
        None, "No job has finished on these workers yet, so the time is not known.",
    )  # fmt: skip


def test_how_long_completions_were_is_known_from_jobs_on_the_same_base() -> None:
    grpo = ran("reinforcement", 20.0, completions=20)
    assert forecast.sample_tokens("small", "reinforcement", [grpo]) == 50
    assert forecast.sample_tokens("large", "reinforcement", [grpo]) is None
