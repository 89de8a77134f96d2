"""What a report says of a job: made from what the API shows of it, and nothing else."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fettle.methods import METHODS
from fettle.reports import curves
from fettle.reports.chart import number
from fettle.reports.document import Block, Document, Notice, Sample, Section, Table, Text, visible

SAMPLES_AT_MOST = 8
PROMPT_SHOWN, COMPLETION_SHOWN = 2_000, 3_000  # characters
MESSAGES_AT_MOST = 60
ROWS_AT_MOST = 200  # of a table
DEPTH_AT_MOST = 6  # of settings in settings

FORMS = {name: form for spec in METHODS.values() for name, form in spec.figures.items()} | {"exact_match": ".1%"}

Facts = Mapping[str, Any]


def document(facts: Facts, steps: dict[int, dict[str, float]]) -> Document:
    """facts: `job`, `files`, `events`, `evaluation`, `proof` and `hashes`, as the routes show them. steps: metrics."""
    job = facts["job"]
    sections = (
        Section("Data", list(data(facts))),
        Section("Method and settings", list(settings(job))),
        Section("Curves", list(curves.charts(steps)) or [Text("The job reported no steps.")]),
        Section("Evaluation", list(evaluation(facts["evaluation"]))),
        Section("Time and cost", list(costs(job))),
        Section("Warnings", list(warnings(facts["events"]))),
        Section("Proof and hashes", list(proof(facts))),
        Section("History", [history(facts["events"])]),
    )
    tuned = job["fine_tuned_model"]
    subtitle = f"{visible(job['model'])} → {visible(tuned)}" if tuned else f"{visible(job['model'])}, no tuned model"
    return Document(
        "Fine-tuning report", f"{job['id']}: {subtitle}", job["status"], list(figures(facts, steps)), sections
    )


def figures(facts: Facts, steps: Mapping[int, Any]) -> Iterator[tuple[str, str, str]]:
    job = facts["job"]
    measured, estimate = job["measured"] or {}, job["estimate"] or {}
    yield "Method", visible(job["method"]["type"]), ""
    if result := headline(facts["evaluation"]):
        yield result
    if measured.get("seconds") is not None:
        seconds = estimate.get("seconds")
        yield "Time", duration(measured["seconds"]), f"estimated {duration(seconds['likely'])}" if seconds else ""
    yield "Steps", f"{len(steps):,}", ""
    if job["trained_tokens"] is not None:
        yield "Tokens trained", f"{job['trained_tokens']:,}", ""
    if cost := measured.get("cost"):
        yield "Cost", money(cost["amount"], cost["currency"]), ""


def headline(found: Facts | None) -> tuple[str, str, str] | None:
    """The figure of the evaluation that says most."""
    names = ("reward_mean", "preference_accuracy", "pairwise_accuracy", "exact_match", "token_accuracy", "loss")
    base, tuned = (found or {}).get("base") or {}, (found or {}).get("tuned") or {}
    for name in names:
        if isinstance(base.get(name), int | float) and isinstance(tuned.get(name), int | float):
            return words(name), figure(name, tuned[name]), f"base model {figure(name, base[name])}"
    return None


def data(facts: Facts) -> Iterator[Block]:
    rows = []
    for name, file in facts["files"].items():
        if file is None:
            rows.append((words(name), "deleted", "", "", ""))
        else:
            seen = file["validation"] or {}
            counted = f"{seen['rows']:,}" if seen.get("rows") is not None else ""
            shape = visible(seen.get("shape") or "")
            rows.append(
                (words(name), f"{visible(file['filename'], 120)} ({file['id']})", shape, counted, size(file["bytes"]))
            )
    yield Table(("File", "Name", "Shape", "Rows", "Size"), rows, numbers=False)
    if facts["job"]["validation_file"] is None:
        yield Notice("warn", "The job had no validation file, so base and tuned model were not compared.")


def settings(job: Facts) -> Iterator[Block]:
    method = job["method"]
    rows = [("base model", visible(job["model"])), ("method", visible(method["type"])), ("seed", str(job["seed"]))]
    if job["user_provided_suffix"]:
        rows.append(("suffix", visible(job["user_provided_suffix"])))
    rows += flattened(method[method["type"]])
    rows += [(f"metadata: {visible(name, 64)}", visible(value)) for name, value in (job["metadata"] or {}).items()]
    yield Table(("Setting", "Value"), rows[:ROWS_AT_MOST], numbers=False)
    if len(rows) > ROWS_AT_MOST:
        yield Text(f"{len(rows) - ROWS_AT_MOST:,} more settings are not shown.")


def flattened(found: Any, name: str = "", depth: int = 0) -> list[tuple[str, str]]:
    """A row for each setting, with dots in its name."""
    if depth < DEPTH_AT_MOST and isinstance(found, dict) and found:
        inner = [(f"{name}.{key}" if name else str(key), value) for key, value in found.items()]
    elif depth < DEPTH_AT_MOST and isinstance(found, list) and any(isinstance(each, dict | list) for each in found):
        inner = [(f"{name}[{place}]", value) for place, value in enumerate(found[:ROWS_AT_MOST])]
    else:
        return [(visible(name.removeprefix("hyperparameters."), 120), plain(found))]
    return [row for key, value in inner[:ROWS_AT_MOST] for row in flattened(value, key, depth + 1)]


def plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, list):
        return visible(", ".join(map(str, value[:50])), 1000) or "none"
    return visible(value, 1000)


def evaluation(found: Facts | None) -> Iterator[Block]:
    if found is None:
        yield Text("The job has no evaluation. Give a job a validation_file to compare base and tuned model.")
        return
    yield from compared(found)
    if of_reward_model := found.get("reward_model"):
        yield Text("The reward model, untrained and trained:")
        yield from compared(of_reward_model)


def compared(found: Facts) -> Iterator[Block]:
    base, tuned = found.get("base") or {}, found.get("tuned") or {}
    names = [name for name in tuned if isinstance(tuned[name], int | float) and not isinstance(tuned[name], bool)]
    rows = [(words(name), figure(name, base.get(name)), figure(name, tuned[name])) for name in names[:ROWS_AT_MOST]]
    if rows:
        yield Text(f"Measured on {found.get('rows', 0):,} rows of the validation file.")
        yield Table(("Figure", "Base model", "Tuned model"), rows)
    for each in (found.get("samples") or [])[:SAMPLES_AT_MOST]:
        yield sample(each)


def sample(each: Facts) -> Sample:
    answers = []
    for name, who in (("expected", "Expected"), ("base", "Base model"), ("tuned", "Tuned model")):
        if each.get(name) is not None:
            reward = each.get(f"{name}_reward")
            scored = f", reward {number(reward)}" if isinstance(reward, int | float) else ""
            answers.append((f"{who}{scored}", visible(each[name], COMPLETION_SHOWN)))
    return Sample(visible(conversation(each.get("prompt")), PROMPT_SHOWN), answers)


def conversation(messages: Any) -> str:
    """Messages as text; the role before each where there are several."""
    if not isinstance(messages, list):
        return str(messages)
    said = [(str(each.get("role")), str(each.get("content") or "")) for each in messages if isinstance(each, dict)]
    return said[0][1] if len(said) == 1 else "\n\n".join(f"{role}: {text}" for role, text in said)


def costs(job: Facts) -> Iterator[Block]:
    measured, estimate = job["measured"], job["estimate"] or {}
    if measured is None:
        yield Text("The job did not succeed, so what it took was not measured.")
        return
    foreseen = estimate.get("seconds")
    rows = [
        ("steps", f"{estimate['steps']:,}" if "steps" in estimate else "", f"{measured['steps']:,}"),
        ("tokens", f"{estimate['tokens']:,}" if "tokens" in estimate else "", f"{measured['tokens']:,}"),
        ("time", f"{duration(foreseen['likely'])} ({duration(foreseen['low'])} to {duration(foreseen['high'])})"
         if foreseen else "not known", duration(measured["seconds"])),
    ]  # fmt: skip
    if cost := measured.get("cost"):
        likely = estimate.get("cost")
        known = money(likely["likely"], likely["currency"]) if likely else ""
        rows.append(("cost", known, money(cost["amount"], cost["currency"])))
    yield Table(("", "Estimated", "Measured"), rows)
    if estimate.get("basis"):
        yield Text(f"The estimate: {visible(estimate['basis'])}")
    steps = sum(each["seconds"] for each in measured["phases"])
    parts = (("waiting in the queue", measured["queue_seconds"]), ("loading", measured["setup_seconds"]),
             ("steps", steps), ("validation, checkpoints and publishing", measured["other_seconds"]))  # fmt: skip
    yield Table(("Spent on", "Time"), [(name, duration(seconds)) for name, seconds in parts])
    device = [visible(measured["device"] or "unknown device")]
    for name, what in (("peak_memory_bytes", "of the machine's memory"), ("peak_gpu_memory_bytes", "of the GPU's")):
        if measured.get(name):
            device.append(f"at most {size(measured[name])} {what}")
    yield Text(f"Device: {', '.join(device)}.")


def warnings(events: Sequence[Facts]) -> Iterator[Block]:
    found = [each for each in events if each["level"] != "info"]
    if not found:
        yield Notice("ok", "There were no warnings.")
    for each in found[:MESSAGES_AT_MOST]:
        yield Notice("error" if each["level"] == "error" else "warn", visible(each["message"], 1000))
    if len(found) > MESSAGES_AT_MOST:
        yield Text(f"{len(found) - MESSAGES_AT_MOST:,} more warnings are among the job's events.")


def proof(facts: Facts) -> Iterator[Block]:
    found = facts["proof"]
    for model in found["models"] if found else ():
        yield Text(f"{visible(model['model'])}: {model['status']}")
        rows = [(words(check["name"]), check["status"], visible(check["message"], 1000)) for check in model["checks"]]
        yield Table(("Check", "Result", "What was found"), rows, numbers=False)
    if facts["hashes"]:
        hashes = [(visible(name, 120), size(each["bytes"]), each["sha256"]) for name, each in facts["hashes"].items()]
        yield Table(("File of the adapter", "Size", "sha256"), hashes, numbers=False)
    if not (found and found["models"]) and not facts["hashes"]:
        yield Text("The job published no model, so there is nothing to prove.")


def history(events: Sequence[Facts]) -> Block:
    shown = list(events)
    half = MESSAGES_AT_MOST // 2
    left_out = len(shown) - MESSAGES_AT_MOST
    if left_out > 0:
        between = {"created_at": None, "message": f"… {left_out:,} more events …"}
        shown = [*shown[:half], between, *shown[-half:]]
    rows = [(moment(each["created_at"]), visible(each["message"], 300)) for each in shown]
    return Table(("Time (UTC)", "Event"), rows, numbers=False)


def figure(name: str, value: Any) -> str:
    """As its method writes it; empty where it is not a number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return ""
    return f"{value:.1%}" if FORMS.get(name, "").endswith("%") else number(value)


def words(name: str) -> str:
    return visible(name.replace("_", " "), 120)


def moment(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def size(count: int) -> str:
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << power:
            return f"{count / (1 << power):.1f} {unit}"
    return f"{count} B"


def money(amount: float, currency: str) -> str:
    return f"{amount:.2f} {visible(currency, 8)}".strip()
