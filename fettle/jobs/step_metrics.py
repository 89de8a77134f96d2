"""A job's metrics events as a table."""

from collections.abc import Iterable, Mapping
from typing import Any


def by_step(events: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, float]]:
    """Steps that a resumed run repeated count once, as they were done last."""
    steps: dict[int, dict[str, float]] = {}
    for data in events:
        values = dict(data)
        steps.setdefault(int(values.pop("step")), {}).update(values)
    return dict(sorted(steps.items()))


def columns(steps: dict[int, dict[str, float]]) -> dict[str, list[float | None]]:
    """Metrics as columns of equal length: `step` first, then each name; None where a step lacks it."""
    names = sorted({name for values in steps.values() for name in values})
    table: dict[str, list[float | None]] = {"step": list(steps)}
    for name in names:
        table[name] = [values.get(name) for values in steps.values()]
    return table
