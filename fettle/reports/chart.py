"""A chart as inline SVG: axes with round numbers, a line for each series, nothing from outside."""

import math
from collections.abc import Sequence
from html import escape

from fettle.reports.document import Chart, Series

WIDTH, HEIGHT = 480, 200
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 28
POINTS = 300  # of a series; more would not be seen
TICKS = 4

Points = Sequence[tuple[float, float]]


def thinned(points: Points, most: int = POINTS) -> list[tuple[float, float]]:
    """The lowest and the highest value of each of equally long stretches, so that no peak is lost."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(2 * len(points) / most)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def ticks(low: float, high: float) -> list[float]:
    """Round numbers within the range, about TICKS of them."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    raw = span / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def bounds(series: Sequence[Series]) -> tuple[float, float, float, float]:
    """x and y, from and to; a range that is empty gets some room."""
    xs = [x for each in series for x, _ in each.points]
    ys = [y for each in series for _, y in each.points]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    if x0 == x1:
        x0, x1 = x0 - 0.5, x1 + 0.5
    room = (y1 - y0) * 0.05 or abs(y1) * 0.05 or 0.5
    return x0, x1, y0 - room, y1 + room


def svg(chart: Chart) -> str:
    x0, x1, y0, y1 = bounds(chart.series)
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(value: float) -> float:
        return round(LEFT + across * (value - x0) / (x1 - x0), 1)

    def y(value: float) -> float:
        return round(TOP + down * (1 - (value - y0) / (y1 - y0)), 1)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">']
    for value in ticks(y0, y1):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value)}" y2="{y(value)}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y(value) + 4}" text-anchor="end">{number(value)}</text>')
    for value in ticks(x0, x1):
        if value == int(value):
            place = f'x="{x(value)}" y="{HEIGHT - 8}"'
            parts.append(f'<text class="tick" {place} text-anchor="middle">{number(value)}</text>')
    for index, each in enumerate(chart.series):
        kept = thinned(each.points)
        line = " ".join(f"{x(step)},{y(value)}" for step, value in kept)
        parts.append(f'<polyline class="line s{index % 6}" points="{line}"/>')
        if len(kept) <= 20:
            parts += [f'<circle class="dot s{index % 6}" cx="{x(a)}" cy="{y(b)}" r="2.5"/>' for a, b in kept]
    return "".join([*parts, "</svg>"])


def number(value: float) -> str:
    """Four digits at most, without an exponent where it can be read without."""
    if value == 0 or abs(value) < 1e-15:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.1e}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
