"""Comparisons as a trainer takes them: the ids of a prompt and of two responses to it, and batches of these.

A validation prompt that the training file has as well is left out: its other comparisons would give the answer away.
Whatever is left out is counted and reported.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset

from fettle.datasets.formats import reading
from fettle.datasets.formats.preference import Pair
from fettle.datasets.formats.render import Message, Renderer
from fettle.errors import TrainingFailed
from fettle.wording import quantity
from worker.training.data import remaining_rows
from worker.training.data.supervised import LEFT_OUT_AT_MOST, SHORTEN, Param
from worker.training.distributed import ranks
from worker.training.lines import Lines
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work
from worker.training.source import Source

Row = dict[str, list[int]]


@dataclass(frozen=True)
class Comparisons:
    """dataset: rows of `prompt_ids`, `chosen_ids`, `rejected_ids` (T each). prompts: a digest of each."""

    dataset: Dataset
    prompts: frozenset[bytes]
    tokens: int
    too_long: int
    longest: int  # tokens of a prompt with a response
    known: int  # pairs whose prompt is in the training file
    silent: int  # pairs with a response that has no token to learn
    alike: int = 0  # pairs whose responses are the same tokens
    rows: int = 0  # of the file: a ranking is several pairs
    lines: Lines = field(default_factory=Lines)

    @property
    def pairs(self) -> int:
        """As many as the file has."""
        return len(self.dataset) + self.too_long + self.known + self.silent + self.alike

    def source(self) -> Source:
        return Source(self.pairs, len(self.dataset), self.lines, rows=self.rows)

    def counts(self) -> dict[str, int | list[int]]:
        return {
            "pairs": self.pairs,
            "prompts": len(self.prompts),
            "tokens": self.tokens,
            "longest_row_tokens": self.longest,
            "pairs_too_long": self.too_long,
            "pairs_with_training_prompt": self.known,
            "pairs_without_completion": self.silent,
            "pairs_alike": self.alike,
            **self.lines.data(),
        }


def load(work: Work, renderer: Renderer, channel: Channel) -> tuple[Work, Comparisons, Dataset | None]:
    """Of the training and the validation file, and the work with every `auto` resolved on the pairs that remain.

    Raises TrainingFailed, and Stopped when a stop comes first.
    """
    train = tokenised(work.train, "training_file", work, renderer, channel, frozenset())
    valid = work.valid and tokenised(work.valid, "validation_file", work, renderer, channel, train.prompts)
    rows = work.resolved_from["given"]["rows"] if work.resolved_from else 0
    work = remaining_rows.resolve(work, max(1, round(rows * len(train.dataset) / train.pairs)), channel)
    return work, train, valid.dataset if valid else None


def tokenised(
    path: Path, param: Param, work: Work, renderer: Renderer, channel: Channel, elsewhere: frozenset[bytes]
) -> Comparisons:
    """Says what it found, and what it left out."""
    max_seq_length = work.hyperparameters["max_seq_length"]
    heed = channel.heed_stop if ranks.count() == 1 else None  # several cannot agree before they have met
    found = read(path, renderer, max_seq_length, param, elsewhere, heed)
    message = (
        f"{param} tokenised: {quantity(found.pairs, 'pair')} of responses to {quantity(len(found.prompts), 'prompt')}, "
        f"{quantity(found.tokens, 'token')}."
    )
    left_out = "".join(
        found.lines.left_out(reason, "pair", what)
        for reason, what in (
            ("too_long", f"with more than {max_seq_length:,} tokens"),
            ("with_training_prompt", "with a prompt of the training file"),
            ("without_completion", "with an empty response"),
            ("alike", "with two responses that the chat template turns into the same tokens"),
        )
    )
    channel.event(message + left_out, found.counts(), level="warn" if left_out else "info")
    return found


def read(
    path: Path,
    renderer: Renderer,
    max_seq_length: int,
    param: Param,
    elsewhere: frozenset[bytes] = frozenset(),
    heed: Callable[[], None] | None = None,
) -> Comparisons:
    """elsewhere: digests of prompts that may not come again. heed: called for every pair; may raise, to break off.

    Raises TrainingFailed when no pair is left, or more than a tenth is too long.
    """
    rows: list[Row] = []
    prompts: set[bytes] = set()
    lines, last = Lines(), 0
    tokens = too_long = longest = known = silent = alike = file_rows = 0
    for line, pair in pairs(path, param):
        if heed:
            heed()
        file_rows += line != last
        last = line
        digest = hashlib.sha256(repr((pair.prompt, pair.tools)).encode()).digest()
        if digest in elsewhere:
            known += 1
            lines.add("with_training_prompt", line)
            continue
        try:
            row = ids(renderer, pair)
        except TrainingFailed as failure:
            raise TrainingFailed(failure.code, f"Line {line} of {param}: {failure.message}", param) from failure
        if row is None:
            silent += 1
            lines.add("without_completion", line)
            continue
        if row["chosen_ids"] == row["rejected_ids"]:
            alike += 1
            lines.add("alike", line)
            continue
        prompts.add(digest)
        length = len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        longest = max(longest, length)
        if length > max_seq_length:
            too_long += 1
            lines.add("too_long", line)
            continue
        tokens += 2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"])
        rows.append(row)
    if not rows and known:
        raise TrainingFailed(
            "validation_prompts_known",
            f"Every prompt of {param} is in the training file too: keep prompts for {param} that are not trained on.",
            param,
        )
    if not rows and alike and not too_long:
        raise TrainingFailed(
            "nothing_learned",
            f"No pair of {param} teaches anything: the base model's chat template turns both responses of {alike} "
            f"pairs ({lines.words('alike')}) into the same tokens, so that the loss would stay at ln 2 = 0.6931. Write "
            "responses that differ in more than what the template strips, which is mostly blanks at their ends.",
            param,
        )
    all_pairs = len(rows) + too_long + known + silent + alike
    if too_long > LEFT_OUT_AT_MOST * all_pairs or not rows:
        where = f" ({lines.words('too_long')})" if too_long else ""
        raise TrainingFailed(
            "rows_too_long",
            f"{too_long} of the {all_pairs} pairs of {param} have more than max_seq_length={max_seq_length} tokens"
            f"{where}; the longest has {longest}. {SHORTEN}",
            "max_seq_length",
        )
    columns = {name: [row[name] for row in rows] for name in ("prompt_ids", "chosen_ids", "rejected_ids")}
    return Comparisons(
        Dataset.from_dict(columns),
        frozenset(prompts),
        tokens,
        too_long,
        longest,
        known,
        silent,
        alike,
        file_rows,
        lines,
    )


def pairs(path: Path, param: Param) -> Iterator[tuple[int, Pair]]:
    """Every comparison of the file. Raises TrainingFailed with the line of a row that cannot be read."""
    try:
        for line, several in reading.pairs(path):
            for pair in several:
                yield line, pair
    except reading.Unreadable as error:
        raise TrainingFailed("file_unreadable", f"{param}, {error}", param) from error


def ids(renderer: Renderer, pair: Pair) -> Row | None:
    """Both responses up to their last supervised token; None when one has none."""
    sides: list[tuple[list[int], int]] = []
    for response in (pair.chosen, pair.rejected):
        rendered = renderer.render([*pair.prompt, response], **pair.variables)
        lessons = [position for position, lesson in enumerate(rendered.supervised) if lesson]
        if not lessons:
            return None
        sides.append((rendered.ids[: lessons[-1] + 1], lessons[0]))
    (chosen, first), (rejected, other) = sides
    shared = min(first, other)
    while chosen[:shared] != rejected[:shared]:  # a token that spans the end of the prompt
        shared -= 1
    return {"prompt_ids": chosen[:shared], "chosen_ids": chosen[shared:], "rejected_ids": rejected[shared:]}


def conversations(
    path: Path, renderer: Renderer, count: int, max_tokens: int
) -> tuple[list[list[Message]], list[list[int]]]:
    """The first better responses of the file as conversations, which an engine can be asked about, and their ids.

    None that is longer than `max_tokens`, has tools or says nothing: there may be fewer.
    """
    found: list[tuple[list[Message], list[int]]] = []
    for _, pair in pairs(path, "training_file"):
        if len(found) == count:
            break
        row = None if pair.variables else ids(renderer, pair)
        if row and len(row["prompt_ids"]) + len(row["chosen_ids"]) <= max_tokens:
            found.append(([*pair.prompt, pair.chosen], row["prompt_ids"] + row["chosen_ids"]))
    return [conversation for conversation, _ in found], [row for _, row in found]
