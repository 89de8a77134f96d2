"""Hyperparameters that were left to `auto`, resolved anew on the rows that remain once some were left out.

A job shows what `auto` came to for all rows of its file. Which of them are too long only the tokenizer knows.
"""

from dataclasses import replace
from typing import Any

from fettle import methods
from fettle.errors import FettleError
from fettle.methods.spec import REWARD_MODEL
from worker.training.distributed import ranks
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work, with_defaults


def resolve(work: Work, rows: int, channel: Channel) -> Work:
    """As `resolved`; says what changed, also to the supervisor, so that the job shows it."""
    found = resolved(work, rows)
    before = work.hyperparameters
    changed = {name: value for name, value in found.hyperparameters.items() if value != before.get(name)}
    if changed:
        told = ", ".join(f"{name} {before.get(name)} → {value}" for name, value in changed.items())
        channel.event(f"'auto' for the {rows:,} rows that remain: {told}.", {"rows": rows, **changed})
        channel.send("hyperparameters", of=place(work), values=changed)
    return found


def resolved(work: Work, rows: int) -> Work:
    """rows: what `auto` counts; of a file of comparisons, the share of its rows that its remaining pairs are.

    A batch_size that was left to `auto` is a multiple of the number of ranks.
    """
    known = work.resolved_from
    if known is None or (rows == known["given"]["rows"] and ranks.count() == 1):
        return work
    whole_file = known["given"]
    file_bytes = round(whole_file["file_bytes"] * rows / whole_file["rows"])  # as if those left out were like the rest
    given = methods.Given(**whole_file | {"rows": rows, "file_bytes": file_bytes})
    asked: dict[str, Any] = known["asked"]
    try:
        values = values_of(work, asked, given)
        own = asked.get(place(work), {})
        whole = values["batch_size"] // ranks.count() * ranks.count()
        if whole != values["batch_size"] and own.get("batch_size", "auto") == "auto":
            values = values_of(work, asked | {place(work): own | {"batch_size": max(whole, ranks.count())}}, given)
    except FettleError:  # what was asked for by name does not go with so few rows; the method says so in its own words
        return work
    return replace(work, hyperparameters=with_defaults(values))


def values_of(work: Work, asked: dict[str, Any], given: methods.Given) -> dict[str, Any]:
    kind = method_of(work)
    spec = methods.METHODS[kind]
    rest = {name: value for name, value in work.options.items() if name not in methods.hyperparameters_of(kind)}
    if spec.reward_model and work.options.get(spec.publishes[REWARD_MODEL]) is not None:
        rest[spec.reward_model] = None  # the job's own, by its name
    method = spec.request.model_validate({"type": kind, kind: rest | asked})
    found: dict[str, Any] = methods.resolve(method, given)[kind][place(work)]
    return found


def place(work: Work) -> str:
    """Of these hyperparameters in the job's method. A phase has the name of the model that it trains, or of none."""
    published = methods.METHODS[method_of(work)].publishes
    return published.get(work.phase, next(iter(published.values())))


def method_of(work: Work) -> str:
    """The job's: a phase may have another."""
    return str(work.resolved_from["kind"]) if work.resolved_from else work.method
