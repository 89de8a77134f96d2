"""Curves with fewer points: the ends, the extremes and the shape stay."""

import math

import numpy as np
import orjson
import pytest

from fettle.jobs import metric_series, thinning


def test_the_point_with_the_largest_triangle_is_kept() -> None:
    # Five points of seven: the ends, the extremes 0 and 9, and one of the bucket 1…5. From (0, 1), with the end
    # at (6, 1), a point's triangle has the area ½·6·|y − 1|: x = 3 (y = 9) is largest.
    assert thinning.choose(range(7), [1.0, 1, 0, 9, 1, 1, 1], 5) == [0, 2, 3, 6]


@pytest.mark.parametrize("points", [5, 6, 50, 800])
@pytest.mark.parametrize("count", [5, 7, 100, 5000])
def test_there_are_never_more_points_than_asked_for(count: int, points: int) -> None:
    y = np.random.default_rng(0).normal(size=count).tolist()
    chosen = thinning.choose(range(count), y, points)
    assert len(chosen) <= points
    assert len(chosen) == len(set(chosen))
    assert {0, count - 1, y.index(min(y)), y.index(max(y))} <= set(chosen)
    assert chosen == sorted(chosen)
    assert len(chosen) >= min(count, points) - 2  # an extreme may be an end, or a bucket's own choice


def test_one_spike_among_many_points_stays() -> None:
    y = [0.0] * 100_000
    y[54_321] = 7.0
    assert 54_321 in thinning.choose(range(100_000), y, 500)


def test_a_long_curve_keeps_its_shape() -> None:
    y = [math.sin(step / 2_000) + (0.3 if step % 997 == 0 else 0.0) for step in range(100_000)]
    chosen = thinning.choose(range(100_000), y, 800)
    drawn = np.interp(range(100_000), chosen, [y[place] for place in chosen])
    smooth = [math.sin(step / 2_000) for step in range(100_000)]
    assert np.abs(drawn - smooth).max() < 0.31  # no point leads away from the wave and its spikes
    assert sum(y[place] - smooth[place] > 0.2 for place in chosen) > 90  # of 101 spikes


def test_a_series_holds_only_the_steps_that_have_a_value_and_the_last_one_counts() -> None:
    events = [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": 2.0, "valid": 1.0},
        {"step": 2, "loss": 1.5},
        {"step": 3, "loss": None},
    ]
    assert metric_series.series(events, 10) == {
        "loss": {"step": [1, 2], "value": [3.0, 1.5]},
        "valid": {"step": [2], "value": [1.0]},
    }


def test_with_points_the_answer_has_series_in_place_of_columns() -> None:
    lines = b"\n".join(orjson.dumps({"step": n, "loss": float(n % 7)}) for n in range(1, 1001))
    body = orjson.loads(metric_series.answer({"job_id": "j", "last_id": "e", "points": 20}, lines))
    assert "columns" not in body
    assert body["last_id"] == "e"
    assert len(body["series"]["loss"]["step"]) == len(body["series"]["loss"]["value"]) <= 20
    assert (body["series"]["loss"]["step"][0], body["series"]["loss"]["step"][-1]) == (1, 1000)


def test_new_steps_are_joined_to_a_series_and_replace_those_that_were_done_again() -> None:
    old = {"loss": {"step": [1, 5, 9], "value": [3.0, 2.0, 1.0]}}
    more = {"loss": {"step": [6, 7], "value": [1.5, 1.25]}, "valid": {"step": [7], "value": [4.0]}}
    assert metric_series.joined(old, more) == {
        "loss": {"step": [1, 5, 6, 7], "value": [3.0, 2.0, 1.5, 1.25]},
        "valid": {"step": [7], "value": [4.0]},
    }
    assert old["loss"]["step"] == [1, 5, 9]
