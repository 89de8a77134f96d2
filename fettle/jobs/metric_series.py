"""The body of GET …/metrics: a job's metrics as columns, or as series that are thinned for a chart."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import orjson

from fettle.jobs import step_metrics


def answer(argument: Mapping[str, Any], lines: bytes) -> bytes:
    """argument: job_id, last_id, points. lines: the data of the job's metrics events, a line of JSON each."""
    events = [orjson.loads(line) for line in lines.splitlines()]
    body: dict[str, Any] = {
        "object": "fine_tuning.job.metrics",
        "fine_tuning_job_id": argument["job_id"],
        "last_id": argument.get("last_id"),
    }
    if points := argument.get("points"):
        body["series"] = series(events, points)
    else:
        body["columns"] = step_metrics.columns(step_metrics.by_step(events))
    return orjson.dumps(body)


def series(events: Sequence[Mapping[str, Any]], points: int) -> dict[str, dict[str, list[float]]]:
    """Each metric by itself: {"step", "value"}. A step that a resumed run did again counts as it was done last."""
    steps = [int(event["step"]) for event in events]
    ascending = all(one < other for one, other in pairwise(steps))
    found = {}
    for name in sorted(set().union(*events) - {"step"}):
        values: list[Any] = [event.get(name) for event in events]
        if not ascending:
            last = {step: value for step, value in zip(steps, values, strict=True) if value is not None}
            of_steps = sorted(last)
            found[name] = thinned(of_steps, [last[step] for step in of_steps], points)
        elif None in values:
            known = [place for place, value in enumerate(values) if value is not None]
            found[name] = thinned([steps[place] for place in known], [values[place] for place in known], points)
        else:
            found[name] = thinned(steps, values, points)
    return {name: each for name, each in found.items() if each["step"]}


def thinned(steps: list[int], values: list[float], points: int) -> dict[str, list[float]]:
    if len(steps) <= points:
        return {"step": list(steps), "value": values}
    import numpy as np  # only long curves need it, and they are not thinned in the API's own process

    from fettle.jobs import thinning

    x, y = np.array(steps, np.float64), np.array(values, np.float64)
    chosen = thinning.choose(x, y, points)
    return {"step": x[chosen].astype(np.int64).tolist(), "value": y[chosen].tolist()}
