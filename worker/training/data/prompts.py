"""Prompts as a policy takes them: the text that it goes on from, and what judges it needs to know of each."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset

from fettle.datasets.formats import prompts, reading, rows
from fettle.datasets.formats.prompts import Prompt
from fettle.datasets.formats.render import Renderer
from fettle.errors import TrainingFailed
from fettle.wording import quantity
from worker.training.data.supervised import LEFT_OUT_AT_MOST, Param
from worker.training.lines import Lines, warn_of_known
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work

Source = Iterable[tuple[int, Prompt, dict[str, Any]]]  # line number, prompt, the chat template's variables


@dataclass(frozen=True)
class Prompts:
    """dataset: rows of `prompt`, and `messages` and `item` as JSON. longest: tokens. lines: of those left out, and of
    those that another file has as well.
    """

    dataset: Dataset
    longest: int
    too_long: int
    room: int
    lines: Lines = field(default_factory=Lines)

    @property
    def total(self) -> int:
        return len(self.dataset) + self.too_long


def load(
    param: Param,
    work: Work,
    renderer: Renderer,
    channel: Channel,
    source: Source,
    elsewhere: Prompts | None = None,
) -> Prompts:
    """Says what it found, what it left out, and what the file `elsewhere` has as well. Raises TrainingFailed."""
    found = read(param, work, renderer, source, frozenset(elsewhere.dataset["prompt"]) if elsewhere else frozenset())
    message = f"{param}: {quantity(found.total, 'prompt')}. The longest has {quantity(found.longest, 'token')}."
    message += found.lines.left_out("too_long", "prompt", f"with more than {found.room:,} tokens")
    counts = {"rows": found.total, "longest_prompt_tokens": found.longest, "rows_too_long": found.too_long}
    channel.event(message, counts | found.lines.data(), level="warn" if found.too_long else "info")
    warn_of_known(found.lines, found.total, channel)
    return found


def read(
    param: Param, work: Work, renderer: Renderer, source: Source, elsewhere: frozenset[str] = frozenset()
) -> Prompts:
    """Those that leave room for a completion: no trainer cuts a prompt. Raises TrainingFailed."""
    room = work.hyperparameters["max_seq_length"] - work.hyperparameters["max_completion_tokens"]
    kept: list[dict[str, str]] = []
    longest = too_long = 0
    lines = Lines()
    try:
        for line, prompt, variables in source:
            text = renderer.text(prompt.messages, opening=True, **variables)
            tokens = len(renderer.tokenizer.encode(text, add_special_tokens=False).ids)
            longest = max(longest, tokens)
            if tokens > room:
                too_long += 1
                lines.add("too_long", line)
                continue
            if text in elsewhere:
                lines.add("known", line)
            item = json.dumps(prompt.item)
            kept.append({"prompt": text, "messages": json.dumps(prompt.messages), "item": item})
    except reading.Unreadable as error:
        raise TrainingFailed("file_unreadable", f"{param}, {error}", param) from error
    total = len(kept) + too_long
    if too_long > LEFT_OUT_AT_MOST * total or not kept:
        where = f" ({lines.words('too_long')})" if too_long else ""
        raise TrainingFailed(
            "prompts_too_long",
            f"{too_long} of the {total} prompts of {param} have more than the {room} tokens that max_seq_length leaves "
            f"beside max_completion_tokens{where}; the longest has {longest}. Lower max_completion_tokens, shorten or "
            "remove these prompts, or raise max_seq_length, at most to the length that the base model reads.",
            "max_seq_length",
        )
    return Prompts(Dataset.from_list(kept), longest, too_long, room, lines)


def refuse_too_few(count: int, batch_size: int) -> None:
    if count < batch_size:
        raise TrainingFailed(
            "too_few_prompts",
            f"training_file has {count} prompts that fit, fewer than batch_size={batch_size}: no step would be made. "
            f"Lower batch_size to {count}.",
            "batch_size",
        )


def rows_of(path: Path, tools: list[dict[str, Any]] | None = None) -> Iterator[tuple[int, Prompt, dict[str, Any]]]:
    """The prompt of every row. tools: shown with all of them."""
    for line, row in reading.rows(path):
        variables = prompts.to_conversation(row).variables
        yield line, prompts.to_prompt(row), variables if tools is None else {**variables, "tools": tools}


def each_once(path: Path) -> Iterator[tuple[int, Prompt, dict[str, Any]]]:
    """Of rows that compare responses or have none: every prompt once, in the order in which they come."""
    seen: set[str] = set()
    for line, row in reading.rows(path):
        name = rows.shape_of(row)
        if name is not None and rows.SHAPES[name].to_pairs is not None:
            found = [(Prompt(pair.prompt, {}), pair.variables) for pair in rows.to_pairs(row)]
        else:
            found = [(prompts.to_prompt(row), prompts.to_conversation(row).variables)]
        for prompt, variables in found:
            key = json.dumps([prompt.messages, variables], sort_keys=True)
            if key not in seen:
                seen.add(key)
                yield line, prompt, variables


def encoded(renderer: Renderer, dataset: Dataset, count: int) -> list[list[int]]:
    """The ids of the first prompts."""
    texts = dataset["prompt"][:count]
    return [list(found.ids) for found in renderer.tokenizer.encode_batch(texts, add_special_tokens=False)]
