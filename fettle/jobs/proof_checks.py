"""The proof of a succeeded job: checks of the data that it used, of its adapter, and of the model that is served.

Each check has a status, a sentence and its figures. `failed` stops a job from succeeding and a `warning` does not.
`not_checked` means that nobody knows.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from fettle.errors import TrainingFailed

Status = Literal["ok", "warning", "failed", "not_checked"]
Check = dict[str, Any]
Values = Sequence[Sequence[float]]

# Nats a token, mean: what two processes may differ by. A logit is a sum whose rounding is some epsilons of its size,
# and logits reach 30: 30 · 2⁻²³ = 4e-6 in fp32 (1.5e-6 was measured between PEFT, our engine and vLLM), 30 · 2⁻⁸ = 0.12
# for a single one in bf16, of which the mean over tokens is a fraction.
TOLERANCE = {"fp32": 1e-4, "bf16": 0.05}
REASONS = {
    "too_long": "longer than max_seq_length",
    "without_completion": "nothing to learn",
    "alike": "both responses have the same tokens",
    "with_training_prompt": "its prompt is in the training file",
}
SERVED = "served_model"


def check(name: str, status: Status, message: str, **figures: Any) -> Check:
    return {"name": name, "status": status, "message": message, "figures": figures}


def of_training(evidence: dict[str, Any], rows_uploaded: int | None) -> list[Check]:
    """rows_uploaded: as validation counted them when the file came."""
    found = [rows(evidence, rows_uploaded)]
    if evidence["supervised_tokens"] is not None:
        found.append(supervised_tokens(evidence))
    return [*found, moved(evidence)]


def rows(evidence: dict[str, Any], uploaded: int | None) -> Check:
    unit, kept, examples = evidence["unit"], evidence["kept"], evidence["examples"]
    left_out = sum(reason["rows"] for reason in evidence["left_out"].values())
    wanted = kept * evidence["epochs"]
    message = f"The job trained on {kept:,} of {examples:,} {unit}"
    for reason, found in evidence["left_out"].items():
        message += f"; {found['rows']:,} left out ({REASONS.get(reason, reason)}): {lines(found)}"
    wrong = []
    if uploaded is not None and evidence["rows_in_file"] not in (None, uploaded):
        wrong.append(f"the file has {uploaded:,} rows, but the run read {evidence['rows_in_file']:,}")
    if kept + left_out != examples:
        wrong.append(f"{examples - kept - left_out:,} {unit} are unaccounted for")
    if evidence["visits"] != wanted and not evidence["stopped_early"]:
        wrong.append(
            f"{evidence['epochs']} epochs of {kept:,} {unit} are {wanted:,}, but {evidence['visits']:,} were used. An "
            "epoch uses whole batches only. Choose a batch_size that divides the number of rows"
        )
    figures = {name: evidence[name] for name in ("rows_in_file", "examples", "kept", "visits", "epochs", "left_out")}
    sentence = "; ".join([message, *wrong]) + "."
    return check("rows", "warning" if wrong else "ok", sentence, unit=unit, rows_uploaded=uploaded, **figures)


def lines(found: dict[str, Any], shown: int = 10) -> str:
    first = ", ".join(map(str, found["lines"][:shown]))
    more = found["rows"] - min(shown, len(found["lines"]))
    return f"line {first}" if found["rows"] == 1 else f"lines {first}" + (f" and {more:,} more" if more else "")


def supervised_tokens(evidence: dict[str, Any]) -> Check:
    own, trained, epochs = evidence["supervised_tokens"], evidence["supervised_tokens_trained"], evidence["epochs"]
    figures = {"supervised_tokens": own, "supervised_tokens_trained": trained, "epochs": epochs}
    if evidence["stopped_early"]:
        return check("supervised_tokens", "ok", f"The loss counted {trained:,} supervised tokens.", **figures)
    if trained == own * epochs:
        message = f"The loss counted {trained:,} supervised tokens: {own:,} in each of {epochs} epochs."
        return check("supervised_tokens", "ok", message, **figures)
    message = f"The loss counted {trained:,} supervised tokens, but {epochs} epochs of {own:,} are {own * epochs:,}."
    return check("supervised_tokens", "warning", message, **figures)


def moved(evidence: dict[str, Any]) -> Check:
    names = ("matrices", "moved", "not_moved", "without_gradient", "optimizer_steps", "steps_with_gradient")
    figures = {name: evidence[name] for name in (*names, "largest_gradient")}
    message = f"{evidence['moved']:,} of the adapter's {evidence['matrices']:,} matrices changed, and all are finite"
    still, idle = evidence["not_moved"], evidence["without_gradient"]
    if still["matrices"]:
        message += f"; {still['matrices']:,} had a gradient but did not change ({', '.join(still['first'])})"
    if idle["matrices"]:
        message += f"; {idle['matrices']:,} never had a gradient ({', '.join(idle['first'])})"
    bad = still["matrices"] or idle["matrices"]
    return check("adapter_moved", "warning" if bad else "ok", f"{message}.", **figures)


def of_storage(probe: dict[str, Any], again: dict[str, Any]) -> list[Check]:
    """again: what a process that loaded the adapter from storage makes of the probe rows."""
    tolerance = tolerance_of([*probe["tuned"], *probe["base"]], probe["precision"], again["precision"])
    noise = mean(differences(probe["base"], again["base"]))
    off = differences(probe["tuned"], again["tuned"])
    allowed = tolerance + 2 * noise
    figures = {"rows": len(probe["rows"]), "values": len(off), "mean": mean(off), "largest": max(off, default=0.0)}
    figures |= {"tolerance": allowed, "base_mean": noise, "precision": again["precision"]}
    what = "scores" if probe["scores"] else "log-probabilities"
    if not off:
        message = f"Every row of the training file was too long to compare {what} on."
        return [check("stored_adapter", "not_checked", message, **figures)]
    if len(off) != sum(map(len, probe["tuned"])) or not mean(off) <= allowed:
        message = (
            f"The adapter loaded from storage does not give the training process's {what}. They differ by "
            f"{mean(off):.6f} on average over {len(off)} values. At most {allowed:.6f} is allowed."
        )
        return [check("stored_adapter", "failed", message, **figures)]
    message = (
        f"The adapter loaded from storage gives the training process's {what}. The largest of {len(off)} differences "
        f"is {max(off):.6f}."
    )
    status: Status = "ok"
    if noise > tolerance:
        status = "warning"
        message += f" The base model's own {what} differ from those in training by {noise:.6f} on average."
    return [check("stored_adapter", status, message, **figures), effect(probe, tolerance)]


def effect(probe: dict[str, Any], tolerance: float) -> Check:
    change = differences(probe["tuned"], probe["base"])
    largest = max(change, default=0.0)
    what = "scores" if probe["scores"] else "log-probabilities"
    message = f"The adapter changes the base model's {what} on the probe rows by up to {largest:.6f}"
    figures = {"mean": mean(change), "largest": largest, "tolerance": tolerance}
    if largest > tolerance:
        return check("differs_from_base", "ok", f"{message}.", **figures)
    message += ", which rounding alone can do. The model learned almost nothing about these rows."
    return check("differs_from_base", "warning", message, **figures)


def unchecked(probe: dict[str, Any], why: str) -> list[Check]:
    """Of a check that could not be made."""
    message = f"The adapter in storage was not compared with the training process: {why}."
    tolerance = tolerance_of([*probe["tuned"], *probe["base"]], probe["precision"])
    return [check("stored_adapter", "not_checked", message), effect(probe, tolerance)]


def waiting_for_engine() -> Check:
    return check(SERVED, "not_checked", "Not checked yet. No engine has served the model since it was published.")


def of_engine(probe: dict[str, Any], tuned: Sequence[float], base: Sequence[float]) -> Check:
    """tuned, base: what the engine says where `expected` says what the training process said.

    The allowance takes in what the engine's base model differs by, whose arithmetic and precision are its own: by much
    where training quantized it.
    """
    wanted = expected(probe)
    own_tuned, own_base = [value for value, _ in wanted], [value for _, value in wanted]
    tolerance = tolerance_of([own_tuned, own_base], probe["precision"])
    # A reward model's base has another random head in every process: there is nothing to compare
    noise = 0.0 if probe["scores"] else mean(differences([own_base], [base]))
    off = differences([own_tuned], [tuned])
    allowed = tolerance + 2 * noise
    figures = {"values": len(off), "mean": mean(off), "largest": max(off, default=0.0), "tolerance": allowed}
    figures |= {"base_mean": noise, "precision": probe["precision"], "quantization": probe["quantization"]}
    what = "scores" if probe["scores"] else "log-probabilities"
    if not off:
        return check(SERVED, "not_checked", f"There is no probe row to compare {what} on.", **figures)
    if not mean(off) <= allowed:
        message = (
            f"The engine does not give the training process's {what}. They differ by {mean(off):.6f} on average over "
            f"{len(off)} values. At most {allowed:.6f} is allowed."
        )
        return check(SERVED, "failed", message, **figures)
    message = f"The engine gives the training process's {what}. The largest of {len(off)} differences is {max(off):.6f}"
    if probe["scores"]:
        return check(SERVED, "ok", f"{message}.", **figures)
    change = mean(differences([base], [tuned]))
    figures["change"] = change
    if change > allowed:
        return check(SERVED, "ok", f"{message}. They differ from its base model's {what}.", **figures)
    if change == 0:
        message = f"The engine answers with the base model's {what} under the tuned model's name."
        return check(SERVED, "failed", message, **figures)
    message += f". They differ from its base model's by only {change:.6f} on average, too little to tell them apart."
    return check(SERVED, "warning", message, **figures)


def expected(probe: dict[str, Any]) -> list[tuple[float, float]]:
    """(tuned, base) for each thing that an engine is asked: a score a row, or the likeliest token after a prefix."""
    if probe["scores"]:
        return [(tuned[0], base[0]) for tuned, base in zip(probe["tuned"], probe["base"], strict=True)]
    return [(each["tuned"], each["base"]) for row in probe["next"] for each in row]


def tolerance_of(values: Values, *precisions: str) -> float:
    """A score has no unit: what it may differ by grows with it."""
    largest = max((abs(value) for row in values for value in row), default=0.0)
    return max(TOLERANCE[precision] for precision in precisions) * max(1.0, largest / 30)


def differences(one: Values, other: Values) -> list[float]:
    return [abs(a - b) for row, also in zip(one, other, strict=False) for a, b in zip(row, also, strict=False)]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def refuse_contradiction(checks: Iterable[Check]) -> None:
    """Raises TrainingFailed: an adapter that is not what was trained must not be published."""
    for each in checks:
        if each["name"] == "stored_adapter" and each["status"] == "failed":
            raise TrainingFailed(
                "adapter_not_reproduced",
                f"{each['message']} The model was not published. Start the job again. If this happens twice, check "
                "the storage and the worker's memory.",
            )


def warnings(checks: Iterable[Check]) -> list[Check]:
    return [each for each in checks if each["status"] in ("warning", "failed")]


def verdict(checks: Sequence[Check]) -> Status:
    """The worst of all."""
    found = {each["status"] for each in checks}
    order: tuple[Status, ...] = ("failed", "warning", "not_checked", "ok")
    return next(status for status in order if status in found or status == "ok")
