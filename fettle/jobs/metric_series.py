"""The body of GET …/metrics: a job's metrics as columns, or as series that are thinned for a chart."""

from collections.abc import Iterable, Mapping
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


def series(events: Iterable[Mapping[str, Any]], points: int) -> dict[str, dict[str, list[float]]]:
    """Each metric by itself: {"step", "value"}. A step that a resumed run did again counts as it was done last."""
    found: dict[str, dict[int, float]] = {}
    for event in events:
        step = int(event["step"])
        for name, value in event.items():
            if name != "step" and value is not None:
                found.setdefault(name, {})[step] = value
    return {name: thinned(found[name], points) for name in sorted(found)}


def thinned(values: Mapping[int, float], points: int) -> dict[str, list[float]]:
    steps = sorted(values)
    if len(steps) <= points:
        return {"step": list(steps), "value": [values[step] for step in steps]}
    import numpy as np  # only long curves need it, and they are not thinned in the API's own process

    from fettle.jobs import thinning

    x = np.array(steps, np.float64)
    y = np.array([values[step] for step in steps], np.float64)
    chosen = thinning.choose(x, y, points)
    return {"step": x[chosen].astype(np.int64).tolist(), "value": y[chosen].tolist()}
