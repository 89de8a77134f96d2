"""A fine-tuning job of OpenAI's as the body of a job here."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fettle.errors import InvalidRequest, from_schema
from fettle.importers.bases import Bases
from fettle.importers.graders import Unmapped, mapped
from fettle.methods import METHODS
from fettle.schemas.labels import LABELS_AT_MOST

Body = dict[str, Any]
OF_THE_OTHER_MODEL = ("batch_size", "learning_rate_multiplier")  # OpenAI shows what its `auto` came to for its model


def convert(job: Mapping[str, Any], files: Mapping[str, str], bases: Bases, *, keep: bool) -> tuple[Body, list[str]]:
    """The body, and what differs in it. files: ids here by OpenAI's. keep: every hyperparameter as it was.

    Raises Unmapped.
    """
    notes: list[str] = []
    theirs = str(job.get("model"))
    if (base := bases.find(theirs)) is None:
        raise Unmapped(bases.advice(theirs))
    if theirs.startswith("ft:"):
        notes.append(
            f"It continued from {theirs}. Train the job of that model first, then write its ft:… name as 'model'."
        )
    body: Body = {"model": base, "training_file": file_here(job, "training_file", files, notes)}
    if job.get("validation_file"):
        body["validation_file"] = file_here(job, "validation_file", files, notes)
    body["method"] = method_of(job, bases, notes, keep=keep)
    if suffix := suffix_of(job, notes):
        body["suffix"] = suffix
    if isinstance(job.get("seed"), int) and 0 <= job["seed"] < 2**31:
        body["seed"] = job["seed"]
    for each in job.get("integrations") or []:
        notes.append(
            f"The integration {each.get('type')!r} is left out. Add 'integrations' if this Fettle reports there."
        )
    body["metadata"] = metadata_of(job, notes)
    return body, notes


def file_here(job: Mapping[str, Any], field: str, files: Mapping[str, str], notes: list[str]) -> str:
    theirs = str(job.get(field))
    if theirs not in files:
        raise Unmapped(f"Its {field.replace('_', ' ')} {theirs} did not come.")
    return files[theirs]


def method_of(job: Mapping[str, Any], bases: Bases, notes: list[str], *, keep: bool) -> Body:
    """Raises Unmapped."""
    given = job.get("method") or {"type": "supervised"}
    kind = given.get("type")
    if kind not in ("supervised", "dpo", "reinforcement"):
        raise Unmapped(f"Its method is {kind!r}, which has no counterpart here.")
    own = {name: value for name, value in (given.get(kind) or {}).items() if value is not None}
    asked = own.pop("hyperparameters", None) or (job.get("hyperparameters") if kind == "supervised" else None) or {}
    chosen = {name: value for name, value in asked.items() if value not in (None, "auto")}
    if not keep and (left := {name: chosen.pop(name) for name in OF_THE_OTHER_MODEL if name in chosen}):
        told = " and ".join(f"{name} {value:g}" for name, value in left.items())
        notes.append(
            f"{told} belonged to OpenAI's model; here 'auto' fits them. --keep-hyperparameters takes them over."
        )
    if "eval_interval" in chosen and not job.get("validation_file"):
        notes.append(f"eval_interval {chosen.pop('eval_interval')} is left out: there is no validation file.")
    if kind == "reinforcement":
        own = {name: mapped(value, bases, notes) if name == "grader" else value for name, value in own.items()}
    method = {"type": kind, kind: {**own, **({"hyperparameters": chosen} if chosen else {})}}
    try:
        METHODS[kind].request.model_validate(method)
    except ValidationError as error:
        raise Unmapped(from_schema(error.errors(), ("method",)).message) from error
    except InvalidRequest as error:
        raise Unmapped(error.message) from error
    return method


def suffix_of(job: Mapping[str, Any], notes: list[str]) -> str | None:
    """As it was given, else as it is in the tuned model's name."""
    parts = str(job.get("fine_tuned_model") or "").split(":")
    given = job.get("user_provided_suffix") or (parts[3] if len(parts) > 4 else "")
    suffix = re.sub(r"[^A-Za-z0-9_.-]+", "-", str(given)).strip("-")[:64]
    if suffix != given:
        notes.append(f"The suffix {given!r} became {suffix!r}.")
    return suffix or None


def metadata_of(job: Mapping[str, Any], notes: list[str]) -> dict[str, str]:
    """The job's own, and where it came from."""
    origin = {"openai_job": job["id"], "openai_base": job.get("model"), "openai_model": job.get("fine_tuned_model")}
    own = dict(job.get("metadata") or {})
    for name, value in origin.items():
        if value and len(own) < LABELS_AT_MOST:
            own[name] = str(value)[:512]
    return own
