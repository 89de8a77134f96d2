"""A job in the making from another tool's config: every key is taken, done by Fettle itself, or without counterpart."""

import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError

from fettle.errors import from_schema
from fettle.methods import METHODS
from fettle.methods.common import Lora

RANKS = get_args(get_args(Lora.__annotations__["rank"])[0])
DATASET = re.compile(r".+\.(jsonl|ndjson|json|csv|parquet)$")
UNKNOWN = "Fettle has nothing like it. Remove it if the training does not need it."
OFF: tuple[Any, ...] = (None, False, "", 0, [], {})


def by_key(*groups: tuple[str, str]) -> dict[str, str]:
    """groups: keys, with the one sentence that holds for them."""
    return {name: sentence for names, sentence in groups for name in names.split()}


class Draft:
    """handled: what Fettle does itself, or needs elsewhere. missing: what has no counterpart, and what to do."""

    def __init__(self, config: Mapping[str, Any], base: str | None, data: str | None, valid: str | None) -> None:
        self.left = dict(config)
        self.base, self.data, self.valid = base, data, valid
        self.kind = "supervised"
        self.body: dict[str, Any] = {}
        self.hyperparameters: dict[str, Any] = {}
        self.handled: dict[str, str] = {}
        self.missing: dict[str, str] = {}

    def take(self, name: str, default: Any = None) -> Any:
        """A key's value; null means that it was left out."""
        value = self.left.pop(name, None)
        return default if value is None else value

    def copy(self, name: str, to: str, kind: type = float) -> None:
        """A number that means the same here. `to` may lead into an object."""
        value = self.take(name)
        if value is None:
            return
        try:
            number = kind(value)
            if kind is int and number != float(value):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            self.missing[name] = f"{value!r} is not a {'whole number' if kind is int else 'number'}. Write one."
        else:
            self.put(to, number)

    def put(self, to: str, value: Any) -> None:
        *outer, last = to.split(".")
        place = self.hyperparameters
        for each in outer:
            place = place.setdefault(each, {})
        place[last] = value

    def refuse(self, name: str, sentence: str, when_off: str = "It is off, as here.") -> None:
        """For a switch without counterpart: only what is on is missing."""
        if name not in self.left:
            return
        if self.take(name) in OFF:
            self.handled[name] = when_off
        else:
            self.missing[name] = sentence

    def batch(self, each: str, times: str) -> None:
        """A step's rows; the number of GPUs is not in a config."""
        rows, steps = self.take(each), self.take(times, 1)
        if rows is None:
            return
        if not (isinstance(rows, int) and isinstance(steps, int)):
            self.missing[each] = f"{rows!r} times {steps!r} is not a number of rows. Write whole numbers."
            return
        self.put("batch_size", rows * steps)
        self.handled[each] = f"batch_size {rows * steps} is of one GPU there. Multiply it by the GPUs that you had."

    def rank(self, value: Any, name: str) -> None:
        if value is None:
            return
        if value in RANKS and not isinstance(value, bool):
            self.put("lora.rank", value)
        else:
            known = ", ".join(map(str, RANKS))
            self.missing[name] = f"Fettle has the ranks {known}, not {value!r}. Choose the next one."

    def schedule(self, name: str, value: Any) -> None:
        if value == "cosine":
            self.handled[name] = "Fettle's schedule: a linear warm-up, then half a cosine to zero."
        elif value is not None:
            self.missing[name] = f"Fettle decays by half a cosine to zero, not by {value!r}. Remove it, and compare."

    def clipping(self, name: str) -> None:
        """Of gradients."""
        value = self.take(name)
        if value is None:
            return
        if value == 1:
            self.handled[name] = "Fettle clips gradients to 1 as well."
        else:
            self.missing[name] = f"Fettle clips gradients to 1, not to {value!r}. Remove it, and compare."

    def optimizer(self, name: str) -> None:
        value = self.take(name)
        if value is None:
            return
        if str(value).startswith(("adamw", "paged_adamw")):
            self.handled[name] = "Fettle trains with AdamW; an adapter's state is small, so it is never in 8 bits."
        else:
            self.missing[name] = f"Fettle trains with AdamW, not with {value!r}. Remove it, and compare."

    def dataset(self, field: str, name: str, given: Any, advice: str) -> None:
        """A path, or what --data and --valid name instead."""
        chosen = self.data if field == "training_file" else self.valid
        if chosen is not None:
            self.body[field] = chosen
            self.handled[name] = f"{chosen} takes its place."
        elif isinstance(given, str) and DATASET.fullmatch(given):
            self.body[field] = given
        else:
            self.missing[name] = advice

    def sort(self, handled: Mapping[str, str], missing: Mapping[str, str]) -> None:
        """Keys with a sentence each; what is off needs no counterpart."""
        for name in [name for name in self.left if name in handled]:
            self.handled[name] = handled[name]
            del self.left[name]
        for name, sentence in missing.items():
            self.refuse(name, sentence)

    def finish(self, model: str, suffix: str | None = None) -> dict[str, Any]:
        """The job's body. What is still left has no counterpart. model: the key that names the base model."""
        theirs = self.take(model)
        if self.base is not None:
            self.handled[model] = f"{self.base} takes its place."
        elif theirs:
            self.handled[model] = (
                f"{theirs!r} must be a base model of this Fettle (fettle models list). Or add --base NAME."
            )
        for name, value in self.left.items():
            if value is not None:
                self.missing[name] = UNKNOWN
        if "eval_interval" in self.hyperparameters and "validation_file" not in self.body:
            self.handled["eval_interval"] = "There is no validation file, so nothing is validated."
            del self.hyperparameters["eval_interval"]
        if "early_stopping" in self.hyperparameters and "validation_file" not in self.body:
            self.missing["early_stopping"] = "It looks at the validation loss. Add --valid FILE, or remove it."
        body: dict[str, Any] = {"model": self.base or theirs, **self.body}
        if not body["model"]:
            self.missing["model"] = "The config does not name a base model. Add --base NAME."
        settings = {"hyperparameters": self.hyperparameters} if self.hyperparameters else {}
        body["method"] = {"type": self.kind, **({self.kind: settings} if settings else {})}
        if suffix and (cleaned := re.sub(r"[^A-Za-z0-9_.-]+", "-", suffix).strip("-")[:64]):
            body["suffix"] = cleaned
        try:
            METHODS[self.kind].request.model_validate(body["method"])
        except ValidationError as error:
            found = from_schema(error.errors(), ("method",))
            self.missing[found.param or "method"] = found.message
        return body
