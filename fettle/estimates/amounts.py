"""How much a job has to do: steps, tokens and completions of each phase, from its resolved method and its rows."""

import math
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["tokens", "completions"]
BYTES_PER_TOKEN = 4  # of a dataset's file, where nothing better is known
LENGTH_SHARE = 0.5  # of max_completion_tokens, that a completion is taken to have where none was measured
FULL = 0.97  # of a packed block


@dataclass(frozen=True)
class Rows:
    """Of the training file. items: texts or pairs in a row; tokens: of an item. prompts: different ones in a row;
    prompt_tokens: of one.
    """

    rows: int
    items: float
    tokens: float
    prompts: float
    prompt_tokens: float
    counted: bool  # in a sample of the rows; else derived from the file's size

    @classmethod
    def of_sample(cls, rows: int, found: dict[str, Any]) -> "Rows":
        seen, items = max(1, found["rows"]), found["items"]
        tokens = found["tokens"] / items if items else 0.0
        prompt = found["prompt_tokens"] / found["prompts"] if found["prompts"] else 0.0
        return cls(rows, items / seen, tokens, found["prompts"] / seen or 1.0, prompt, counted=True)

    @classmethod
    def of_size(cls, rows: int, size: int, tokens_per_byte: float = 1 / BYTES_PER_TOKEN) -> "Rows":
        tokens = size * tokens_per_byte / max(1, rows)
        return cls(rows, 1.0, tokens, 1.0, tokens / 2, counted=False)


@dataclass(frozen=True)
class Phase:
    """Part of a job at one pace. name: `policy` and `reward_model` of an RLHF job, else the method's.

    unit: what its time grows with.
    """

    name: str
    steps: int
    unit: Unit
    units: float
    tokens: float

    @property
    def samples(self) -> bool:
        return self.unit == "completions"


def phases(method: dict[str, Any], rows: Rows, sample_tokens: float | None = None) -> list[Phase]:
    """method: resolved, as a job has it. sample_tokens: of a completion with its prompt, as earlier jobs had them."""
    kind = method["type"]
    own = method[kind]
    asked = own["hyperparameters"]
    if kind == "reinforcement":
        return [sampled(kind, asked, rows, sample_tokens)]
    if kind == "rlhf":
        theirs = own.get("reward_model_hyperparameters")
        first = [read("reward_model", theirs, rows)] if theirs else []
        return [*first, sampled("policy", asked, rows, sample_tokens)]
    return [read(kind, asked, rows)]


def read(name: str, asked: dict[str, Any], rows: Rows) -> Phase:
    """A phase that reads all of the file in every epoch."""
    items = round(rows.rows * rows.items)
    tokens = items * rows.tokens
    batches = items
    if asked.get("packing"):
        batches = math.ceil(tokens / (FULL * asked["max_seq_length"]))
    steps = math.ceil(batches / asked["batch_size"]) * asked["n_epochs"]
    return Phase(name, steps, "tokens", tokens * asked["n_epochs"], tokens * asked["n_epochs"])


def sampled(name: str, asked: dict[str, Any], rows: Rows, sample_tokens: float | None) -> Phase:
    """A phase that answers whole batches of prompts, each several times."""
    steps = round(rows.rows * rows.prompts) // asked["batch_size"] * asked["n_epochs"]
    completions = steps * asked["batch_size"] * asked["group_size"]
    if sample_tokens is None:
        sample_tokens = rows.prompt_tokens + LENGTH_SHARE * asked["max_completion_tokens"]
    return Phase(name, steps, "completions", completions, completions * sample_tokens)
