"""What a job will take: steps, tokens, time and cost, before it exists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fettle.estimates import amounts, forecast, measurements
from fettle.estimates.amounts import Phase, Rows
from fettle.estimates.forecast import Forecast, Interval
from fettle.estimates.measurements import Earlier
from fettle.registry.catalog import BaseModelEntry

HOUR = 3600
Price = tuple[float, str] | None  # of an hour on one GPU, and its currency


@dataclass(frozen=True)
class Estimate:
    """counted: the tokens are of a sample of rows; else they are derived from the file's size."""

    phases: list[Phase]
    counted: bool
    time: Forecast

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    @property
    def tokens(self) -> int:
        return round(sum(phase.tokens for phase in self.phases))

    def to_json(self, price: Price, gpus: int) -> dict[str, Any]:
        """gpus: that train the job together."""
        seconds = self.time.seconds
        return {
            "steps": self.steps,
            "tokens": self.tokens,
            "tokens_from": "sample" if self.counted else "file_size",
            "seconds": seconds and seconds.to_json(),
            "basis": self.time.basis,
            "cost": seconds and cost_interval(seconds, price, gpus),
        }


def make(
    earlier: Sequence[Earlier],
    base_model: str,
    method: dict[str, Any],
    rows: Rows,
    models: Mapping[str, BaseModelEntry],
    validation_rows: int = 0,
) -> Estimate:
    """earlier: what jobs took. method: resolved. rows: of the training file."""
    name = "policy" if method["type"] == "rlhf" else method["type"]
    phases = amounts.phases(method, rows, forecast.sample_tokens(base_model, name, earlier))
    steps = sum(phase.steps for phase in phases)
    sizes = {known: entry.parameters for known, entry in models.items()}
    seen = validation_rows * (evaluations(method, steps) + 1) if validation_rows else 0
    return Estimate(phases, rows.counted, forecast.forecast(phases, seen, base_model, earlier, sizes))


def tokens_per_byte(earlier: Sequence[Earlier], base_model: str) -> float:
    """Of datasets' files, as earlier jobs on this base had it."""
    known = [each.found.get("tokens_per_byte") for each in earlier if each.base_model == base_model]
    return measurements.median(each for each in known if each) or 1 / amounts.BYTES_PER_TOKEN


def evaluations(method: dict[str, Any], steps: int) -> int:
    asked = method[method["type"]]["hyperparameters"]
    interval = asked["eval_interval"]
    return int(asked["n_epochs"]) if interval == "epoch" else max(1, steps // int(interval))


def cost_interval(seconds: Interval, price: Price, gpus: int) -> dict[str, Any] | None:
    if price is None:
        return None
    likely, low, high = (cost(each, price, gpus)["amount"] for each in (seconds.likely, seconds.low, seconds.high))
    return {"likely": likely, "low": low, "high": high, "currency": price[1]}


def cost(seconds: float, price: tuple[float, str], gpus: int) -> dict[str, Any]:
    """A CPU slot counts as one GPU."""
    return {"amount": round(seconds / HOUR * max(1, gpus) * price[0], 4), "currency": price[1]}
