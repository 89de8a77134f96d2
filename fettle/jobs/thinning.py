"""Fewer points of a curve that look like all of them.

Largest-triangle-three-buckets (Steinarsson, "Downsampling Time Series for Visual Representation", 2013), and the lowest
and the highest value besides: a spike must not go missing.
"""

import numpy as np
from numpy.typing import NDArray

FEWEST = 5  # the ends, the extremes and one between


def choose(x: NDArray[np.float64], y: NDArray[np.float64], points: int) -> NDArray[np.int64]:
    """The indices of at most `points` points, ascending. x ascends; points is at least `FEWEST`."""
    count = len(x)
    if count <= points:
        return np.arange(count)
    extremes = [int(np.argmin(y)), int(np.argmax(y))]
    edges = np.linspace(1, count - 1, points - 3).astype(np.int64)  # buckets between the first point and the last
    kept = [0]
    for first, last, after in zip(edges[:-1], edges[1:], [*edges[2:], count], strict=True):
        here_x, here_y = x[kept[-1]], y[kept[-1]]
        next_x, next_y = x[last:after].mean(), y[last:after].mean()
        areas = np.abs((here_x - next_x) * (y[first:last] - here_y) - (here_x - x[first:last]) * (next_y - here_y))
        kept.append(int(first + np.argmax(areas)))
    return np.unique([*kept, count - 1, *extremes])
