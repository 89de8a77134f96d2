"""The body of GET …/metrics: a job's metrics as columns, or as series that are thinned for a chart."""

import bisect
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import orjson

from fettle.jobs import step_metrics, thinning

Series = dict[str, dict[str, list[float]]]


def answer(argument: Mapping[str, Any], lines: bytes) -> bytes:
    """argument: job_id, last_id, points. lines: the data of the job's metrics events, a line of JSON each."""
    events = parsed(lines)
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


def joined_answer(argument: Mapping[str, Any], before: bytes, lines: bytes) -> bytes:
    """An earlier answer with series, and the lines that came since."""
    body = orjson.loads(before)
    body["last_id"] = argument["last_id"]
    body["series"] = joined(body["series"], series(parsed(lines), argument["points"]))
    return orjson.dumps(body)


def parsed(lines: bytes) -> list[dict[str, Any]]:
    """All in one go, which takes half the time. JSON has no bare line break inside."""
    found: list[dict[str, Any]] = orjson.loads(b"[%s]" % lines.replace(b"\n", b","))
    return found


def series(events: Sequence[Mapping[str, Any]], points: int) -> Series:
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
    chosen = thinning.choose(steps, values, points)
    return {"step": [steps[place] for place in chosen], "value": [values[place] for place in chosen]}


def joined(series: Series, more: Series) -> Series:
    """Steps that a resumed run did again replace the old ones."""
    whole = dict(series)
    for name, new in more.items():
        old = whole.get(name, {"step": [], "value": []})
        keep = bisect.bisect_left(old["step"], new["step"][0])
        whole[name] = {key: [*old[key][:keep], *new[key]] for key in ("step", "value")}
    return whole
