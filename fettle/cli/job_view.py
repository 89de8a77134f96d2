"""One job as a person reads it."""

import time
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from fettle.cli import tables
from fettle.cli.client import Client, Refused
from fettle.cli.terminal import console, figure, moment, plain
from fettle.methods import METHODS, hyperparameters_of
from fettle.wording import quantity

COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


def show(client: Client, job: dict[str, Any]) -> None:
    kind = job["method"]["type"]
    waiting, error = job["waiting"] or {}, job["error"] or {}
    tables.facts(
        [
            ("id", job["id"]),
            ("status", plain(job["status"], COLOURS.get(job["status"], ""))),
            ("waits", waiting.get("message")),
            ("place", place(waiting)),
            ("starts", starts(waiting)),
            ("priority", job["priority"] if job["priority"] != "normal" else None),
            ("asks for", asked(job["resources"] or {})),
            ("progress", progress(job)),
            ("error", error and plain(f"{error.get('code')}: {error.get('message')}", "red")),
            ("method", kind),
            ("base model", job["model"]),
            ("tuned model", job["fine_tuned_model"]),
            ("training file", job["training_file"]),
            ("validation file", job["validation_file"]),
            ("created", moment(job["created_at"])),
            ("finished", job["finished_at"] and f"{moment(job['finished_at'])}  ({lasted(job)})"),
            ("trained", job["trained_tokens"] and f"{job['trained_tokens']:,} tokens"),
            ("evaluation", evaluation(client, job)),
            ("settings", ", ".join(settings(job["method"][kind], kind))),
            ("metadata", ", ".join(f"{name}={value}" for name, value in (job["metadata"] or {}).items())),
        ]
    )
    if following := next_command(job):
        console.print(Text("\n") + plain(following, "dim"), soft_wrap=True)


def place(waiting: dict[str, Any]) -> str | None:
    """In the queue."""
    number = waiting.get("position")
    return None if number is None else "next" if number == 1 else f"{number:,} in the queue"


def starts(waiting: dict[str, Any]) -> str | None:
    """When, as far as the estimates say."""
    if (start := waiting.get("estimated_start")) is None:
        return None
    likely, earliest, latest = (span(start[name] - time.time()) for name in ("likely", "earliest", "latest"))
    return f"in about {likely} (between {earliest} and {latest})"


def asked(resources: dict[str, Any]) -> str:
    """What the job asks of a slot."""
    gpus, memory = resources.get("gpus"), resources.get("gpu_memory_gib")
    parts = [quantity(gpus, "GPU")] if gpus else []
    parts += [f"{memory:g} GiB of GPU memory"] if memory else []
    parts += [f"the label {label}" for label in resources.get("labels") or ()]
    return ", ".join(parts)


def progress(job: dict[str, Any]) -> str | None:
    known = job["progress"]
    if not known:
        return None
    step, total = known.get("step"), known.get("total_steps")
    parts = [f"step {step:,} of {total:,}"] if step and total else []
    done = f"{known['done']:,} of {known['total']:,} {known.get('unit', '')}" if known.get("total") else ""
    parts.append(f"{known.get('phase', '')} {done}".strip())
    if end := job["estimated_finish"]:
        parts.append(f"about {span(end - time.time())} left")
    return ", ".join(part for part in parts if part)


def lasted(job: dict[str, Any]) -> str:
    return span(job["finished_at"] - job["created_at"])


def span(seconds: float) -> str:
    """As people say it: 40 s, 12 min, 3 h 20 min."""
    seconds = max(0, round(seconds))
    if seconds < 100:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def settings(own: dict[str, Any], kind: str) -> Iterator[str]:
    """What the job trains with, every `auto` resolved."""
    for group in hyperparameters_of(kind):
        for name, value in (own.get(group) or {}).items():
            if isinstance(value, dict):
                yield from (f"{name}.{inner} {each}" for inner, each in value.items() if each not in (None, False))
            elif value not in (None, False):
                yield f"{name} {value}"


def evaluation(client: Client, job: dict[str, Any]) -> str | None:
    """The base model's figures and the tuned model's, where the job has compared them."""
    if job["status"] != "succeeded" or not job["validation_file"]:
        return None
    try:
        found = client.get(f"/v1/fine_tuning/jobs/{job['id']}/evaluation")
    except Refused:
        return None
    base, tuned = found.get("base") or {}, found.get("tuned") or {}
    both = [name for name in METHODS[job["method"]["type"]].figures if number(base, name) and number(tuned, name)]
    return ", ".join(f"{name} {figure(base[name])} → {figure(tuned[name])}" for name in both)


def number(figures: dict[str, Any], name: str) -> bool:
    return isinstance(figures.get(name), int | float)


def next_command(job: dict[str, Any]) -> str | None:
    match job["status"]:
        case "succeeded" if METHODS[job["method"]["type"]].kind == "chat":
            return f"fettle chat {job['fine_tuned_model']}"
        case "queued" | "running" | "validating_files":
            return f"fettle jobs watch {job['id']}"
        case "paused":
            return f"fettle jobs resume {job['id']}"
    return None
