"""How long a job will take, from what earlier jobs took on the same workers; and in words what that rests on."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fettle.estimates.amounts import Phase
from fettle.estimates.measurements import Earlier, median
from fettle.wording import quantity

# By how much a figure may be off at least: from several jobs like it, from a single one, and from jobs unlike it
SEVERAL, SINGLE, BORROWED = 1.25, 1.5, 3.0


@dataclass(frozen=True)
class Interval:
    """Seconds, or seconds a unit."""

    likely: float
    low: float
    high: float

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.likely + other.likely, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> "Interval":
        return Interval(self.likely * factor, self.low * factor, self.high * factor)

    def to_json(self) -> dict[str, float]:
        return {"likely": round(self.likely, 1), "low": round(self.low, 1), "high": round(self.high, 1)}


NOTHING = Interval(0, 0, 0)


@dataclass(frozen=True)
class Pace:
    """Seconds a unit of a phase. basis: where it is from, as a sentence."""

    seconds: Interval
    basis: str


@dataclass(frozen=True)
class Forecast:
    """seconds: None where nothing was measured. basis: what it rests on, as sentences."""

    seconds: Interval | None
    basis: str


def forecast(
    phases: Sequence[Phase], validated_rows: int, base_model: str, earlier: Sequence[Earlier], sizes: dict[str, int]
) -> Forecast:
    """validated_rows: rows of the validation file times how often it is looked at. sizes: parameters of base models."""
    names = {phase.name for phase in phases}
    total, sentences = overhead(validated_rows, base_model, names, earlier), []
    if total is None:
        return Forecast(None, "No job has finished on these workers yet, so the time is not known.")
    for phase in phases:
        found = pace(phase, base_model, earlier, sizes)
        if found is None:
            what = "generates completions" if phase.samples else "trains on a dataset"
            return Forecast(None, f"No job that {what} has finished on these workers yet, so the time is not known.")
        total += found.seconds.times(phase.units)
        sentences.append(found.basis)
    return Forecast(total, " ".join(dict.fromkeys(sentences)))


def pace(phase: Phase, base_model: str, earlier: Sequence[Earlier], sizes: dict[str, int]) -> Pace | None:
    """From jobs with this phase on this base; else from other phases that work alike; else from other bases."""
    here = [each for each in earlier if each.base_model == base_model]
    own = rates(here, phase, phase.name)
    if own:
        noun = quantity(len(own), "earlier job")
        return Pace(within(own), f"The speed of '{phase.name}' is from {noun} on {base_model!r}.")
    missing = f"No job of '{phase.name}' has run on {base_model!r} yet; the figure is from"
    if alike := rates(here, phase, None):
        names = ", ".join(sorted({repr(name) for each in here for name in phase_names(each, phase)}))
        basis = f"{missing} {quantity(len(alike), 'job')} of {names} on it and may be far off."
        return Pace(borrow(alike), basis)
    elsewhere = [each for each in earlier if each.base_model != base_model and each.base_model in sizes]
    scaled = [
        rate * sizes[base_model] / sizes[each.base_model]
        for each in elsewhere
        for rate in rates([each], phase, phase.name) or rates([each], phase, None)
    ]
    if not scaled:
        return None
    names = ", ".join(sorted({repr(each.base_model) for each in elsewhere if rates([each], phase, None)}))
    basis = f"{missing} jobs on {names}, scaled by the number of parameters, and may be far off."
    return Pace(borrow(scaled), basis)


def rates(earlier: Iterable[Earlier], phase: Phase, name: str | None) -> list[float]:
    """Seconds a unit. name: of the phase; None: any that counts in the same unit."""
    return [
        found["seconds"] / found[phase.unit]
        for each in earlier
        for found in each.found["phases"]
        if (name is None or found["name"] == name) and counts_in(found, phase) and found["seconds"] > 0
    ]


def counts_in(found: dict[str, Any], phase: Phase) -> bool:
    return bool(found.get(phase.unit)) and (found.get("completions") is not None) == phase.samples


def phase_names(each: Earlier, phase: Phase) -> list[str]:
    return [found["name"] for found in each.found["phases"] if counts_in(found, phase)]


def within(values: Sequence[float]) -> Interval:
    """The median, and an interval that holds all values and is never narrower than they can tell."""
    middle = median(values) or 0.0
    margin = SINGLE if len(values) == 1 else SEVERAL
    return Interval(middle, min(*values, middle / margin, middle), max(*values, middle * margin, middle))


def borrow(values: Sequence[float]) -> Interval:
    middle = median(values) or 0.0
    return Interval(middle, min(values) / BORROWED, max(values) * BORROWED)


def overhead(
    validated_rows: int, base_model: str, names: Collection[str], earlier: Sequence[Earlier]
) -> Interval | None:
    """Everything but the steps: loading, checkpoints, publishing; and validation by the row.

    names: of the job's phases. Jobs with the same ones on this base come first, as methods load different things.
    """
    if not earlier:
        return None
    here = [each for each in earlier if each.base_model == base_model]
    own = [each for each in here if {found["name"] for found in each.found["phases"]} == set(names)]
    setup = within([each.found["setup_seconds"] for each in own or here or earlier])
    plain = nearest([[each for each in some if not each.found["validated_rows"]] for some in (own, here, earlier)])
    others = [each.found["other_seconds"] for each in plain]
    fixed = within(others or [min(each.found["other_seconds"] for each in own or here or earlier)])
    validated = nearest([[each for each in some if each.found["validated_rows"]] for some in (own, here, earlier)])
    a_row = [max(0.0, each.found["other_seconds"] - fixed.likely) / each.found["validated_rows"] for each in validated]
    return setup + fixed + (within(a_row).times(validated_rows) if a_row and validated_rows else NOTHING)


def nearest(choices: Iterable[list[Earlier]]) -> list[Earlier]:
    return next((each for each in choices if each), [])


def sample_tokens(base_model: str, name: str, earlier: Iterable[Earlier]) -> float | None:
    """Tokens of a completion with its prompt, as earlier jobs had them."""
    return median(
        found["tokens"] / found["completions"]
        for each in earlier
        if each.base_model == base_model
        for found in each.found["phases"]
        if found["name"] == name and found.get("completions")
    )
