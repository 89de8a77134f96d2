"""Charts: round ticks, no lost peak, lines inside the frame."""

import re

import pytest

from fettle.reports import chart
from fettle.reports.document import Chart, Series


def test_ticks_are_round_numbers_within_the_range() -> None:
    assert chart.ticks(0, 1) == pytest.approx([0, 0.5, 1])
    assert chart.ticks(0.013, 0.092) == pytest.approx([0.02, 0.04, 0.06, 0.08])
    assert chart.ticks(1, 60) == pytest.approx([20, 40, 60])
    assert chart.ticks(3, 3) == [3]


def test_of_many_points_the_peaks_stay() -> None:
    points = [(float(step), 0.5) for step in range(100_000)]
    points[41_234], points[77_777] = (41_234.0, 9.0), (77_777.0, -9.0)
    kept = chart.thinned(points)
    assert len(kept) <= chart.POINTS + 2
    assert (41_234.0, 9.0) in kept and (77_777.0, -9.0) in kept
    assert kept == sorted(kept)


def test_few_points_are_all_drawn_and_marked() -> None:
    drawn = chart.svg(Chart("Loss", [Series("a", [(1.0, 2.0), (2.0, 1.0), (3.0, 1.5)])]))
    (line,) = re.findall(r'<polyline class="line s0" points="([^"]+)"', drawn)
    places = [tuple(map(float, place.split(","))) for place in line.split()]
    assert len(places) == 3 and drawn.count("<circle") == 3
    assert places[0][1] < places[2][1] < places[1][1]  # the higher the value, the nearer to the top
    assert all(0 <= x <= chart.WIDTH and 0 <= y <= chart.HEIGHT for x, y in places)


def test_a_single_point_and_a_flat_line_can_be_drawn() -> None:
    assert "nan" not in chart.svg(Chart("a", [Series("a", [(1.0, 0.0)])]))
    assert "nan" not in chart.svg(Chart("a", [Series("a", [(1.0, 5.0), (2.0, 5.0)])]))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.12346, "0.1235"), (12_345.6, "12,346"), (2e-5, "2.0e-05"), (1.5e7, "1.5e+07"), (-3.0, "-3")],
)
def test_numbers_have_four_digits_at_most(value: float, shown: str) -> None:
    assert chart.number(value) == shown
