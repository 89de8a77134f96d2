"""What a run took, read off its events when it ends, and what earlier runs took: the ground of every estimate."""

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, cast, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Event, File, Job, JobStatus

STARTED = "Fine-tuning job started"  # how the event of a claim begins
NEWEST = 50  # earlier jobs that an estimate looks at
Measurement = dict[str, Any]


@dataclass(frozen=True)
class Moment:
    """An event, as far as it tells of time."""

    at: float
    type: str
    message: str
    data: dict[str, Any]


@dataclass
class Steps:
    """Of one phase. seconds: of the steps themselves, without validation and checkpoints."""

    steps: int = 0
    tokens: float = 0.0
    seconds: float = 0.0


async def of_job(session: AsyncSession, job: Job, now: float) -> Measurement | None:
    """Of a job that ends now; None where its events do not tell."""
    columns = (Event.created_at, Event.type, Event.message, Event.data)
    rows = await session.execute(select(*columns).where(Event.job_id == job.id).order_by(Event.seq))
    moments = [Moment(at, kind, message, data or {}) for at, kind, message, data in rows.all()]
    sizes = {}
    for name in ("training_file", "validation_file"):
        file = await session.get(File, getattr(job, name)) if getattr(job, name) else None
        sizes[name] = (file.bytes, int((file.report or {}).get("rows") or 0)) if file else (0, 0)
    return measure(
        moments, job.method, created=job.created_at, now=now, bytes=sizes["training_file"][0],
        validation_rows=sizes["validation_file"][1],
    )  # fmt: skip


def measure(
    moments: Sequence[Moment],
    method: dict[str, Any],
    *,
    created: float,
    now: float,
    bytes: int = 0,
    validation_rows: int = 0,
) -> Measurement | None:
    """moments: oldest first. created, now: of the job. bytes: of the training file. validation_rows: of that file.

    whole: one attempt without a pause, so that others can be estimated from it.
    """
    starts = [each.at for each in moments if each.message.startswith(STARTED)]
    steps = [each for each in moments if each.type == "metrics" and "tokens_per_second" in each.data]
    if not starts or not steps:
        return None
    kind = method["type"]
    phases, first_step = by_phase(steps, kind)
    validations = sum(any(name.startswith("valid_") for name in each.data) for each in moments)
    device = next((each.data for each in moments if "device" in each.data), {})
    working = sum(phase.seconds for phase in phases.values())
    setup = max(0.0, steps[0].at - first_step - starts[0])
    return {
        "method": kind,
        "whole": len(starts) == 1,
        "device": device.get("device"),
        "gpus": device.get("devices", 1) if device.get("device") not in (None, "CPU") else 0,
        "queue_seconds": round(max(0.0, starts[0] - created), 2),
        "setup_seconds": round(setup, 2),
        "phases": [
            {
                "name": name,
                "steps": found.steps,
                "tokens": round(found.tokens),
                "completions": completions(method, name, found.steps),
                "seconds": round(found.seconds, 3),
            }
            for name, found in phases.items()
        ],
        "other_seconds": round(max(0.0, now - starts[0] - setup - working), 2),
        "validated_rows": (validations + 1) * validation_rows if validations else 0,
        "seconds": round(now - starts[0], 2),
        "steps": sum(found.steps for found in phases.values()),
        "tokens": round(sum(found.tokens for found in phases.values())),
        "tokens_per_byte": tokens_per_byte(method, phases, bytes),
        "peak_memory_bytes": highest(moments, "peak_memory_bytes"),
        "peak_gpu_memory_bytes": highest(moments, "peak_gpu_memory_bytes"),
    }


def by_phase(steps: Sequence[Moment], kind: str) -> tuple[dict[str, Steps], float]:
    """Each phase, and the seconds of the very first step. A step that a resumed run repeated counts once more."""
    found: dict[str, Steps] = {}
    first, before = 0.0, 0.0
    for number, each in enumerate(steps):
        tokens, rate = float(each.data.get("tokens", 0)), float(each.data["tokens_per_second"])
        taken = max(0.0, tokens - before)
        before = tokens
        seconds = taken / rate if rate > 0 else 0.0
        phase = found.setdefault(str(each.data.get("phase") or kind), Steps())
        phase.steps, phase.tokens, phase.seconds = phase.steps + 1, phase.tokens + taken, phase.seconds + seconds
        first = first if number else seconds
    return found, first


def completions(method: dict[str, Any], phase: str, steps: int) -> int | None:
    """None for a phase that samples none."""
    if phase not in ("reinforcement", "policy"):
        return None
    asked = method[method["type"]]["hyperparameters"]
    return int(steps * asked["batch_size"] * asked["group_size"])


def tokens_per_byte(method: dict[str, Any], phases: dict[str, Steps], bytes: int) -> float | None:
    """Of the training file, for a phase that reads all of it in every epoch."""
    for name, found in phases.items():
        own = method[method["type"]]
        asked = own.get("reward_model_hyperparameters") if name == "reward_model" else own["hyperparameters"]
        asked = asked or own["hyperparameters"]
        if name not in ("reinforcement", "policy") and bytes and found.tokens:
            return round(found.tokens / (bytes * int(asked["n_epochs"])), 5)
    return None


def highest(moments: Iterable[Moment], name: str) -> int | None:
    return max((each.data[name] for each in moments if name in each.data), default=None)


@dataclass(frozen=True)
class Earlier:
    """A measurement of an earlier job."""

    base_model: str
    finished_at: float
    found: Measurement


async def earlier(session: AsyncSession, base_model: str) -> list[Earlier]:
    """The newest undisturbed ones, those on this base model first."""
    measured = (Job.status == JobStatus.SUCCEEDED, cast(Job.measured, String) != "null", Job.measured.is_not(None))
    statement = select(Job.base_model, Job.finished_at, Job.measured).where(*measured).order_by(Job.created_at.desc())
    rows: list[Earlier] = []
    for of_base in (Job.base_model == base_model, Job.base_model != base_model):
        for name, at, found in (await session.execute(statement.where(of_base).limit(NEWEST))).all():
            if found and found.get("whole"):
                rows.append(Earlier(name, at or time.time(), found))
    return rows


def median(values: Iterable[float]) -> float | None:
    known = list(values)
    return statistics.median(known) if known else None
