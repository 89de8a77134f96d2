"""Rows as a trainer takes them: ids and labels. Rows that cannot be trained on are left out, counted and reported."""

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy
import pyarrow
from datasets import Dataset
from datasets.table import InMemoryTable

from fettle.datasets.formats import reading
from fettle.datasets.formats.render import Rendered, Renderer
from fettle.errors import TrainingFailed
from worker.training.lines import Lines

Param = Literal["training_file", "validation_file"]
IGNORED = -100  # the label that the loss skips
SHORTEN = "Shorten or remove these rows, or raise max_seq_length, at most to the length that the base model reads."
LEFT_OUT_AT_MOST = 0.1  # of the rows; more is a mistake in the job, not noise in the data


@dataclass(frozen=True)
class Examples:
    """dataset: sequences of `input_ids` (T) and `labels` (T). A row that is trained on has one, or several where the
    base model's template rewrites earlier turns. The counts of rows left out are beside it.

    kept: rows that are trained on. digests: of each row's tokens. known: lines whose tokens another file has as well.
    """

    dataset: Dataset
    kept: int
    tokens: int
    supervised_tokens: int
    too_long: int
    longest: int  # tokens, of all rows
    unsupervised: int
    lines: Lines = field(default_factory=Lines)
    digests: frozenset[bytes] = frozenset()

    @property
    def rows(self) -> int:
        """As many as the file has."""
        return self.kept + self.too_long + self.unsupervised

    @property
    def sequences(self) -> int:
        """As many as there would be if no row were left out, where a row is one."""
        return len(self.dataset) + self.too_long + self.unsupervised

    def counts(self) -> dict[str, int | list[int]]:
        return {
            "rows": self.rows,
            "tokens": self.tokens,
            "supervised_tokens": self.supervised_tokens,
            "longest_row_tokens": self.longest,
            "rows_too_long": self.too_long,
            "rows_without_completion": self.unsupervised,
            **self.lines.data(),
        }


def read(
    path: Path,
    renderer: Renderer,
    max_seq_length: int,
    param: Param,
    heed: Callable[[], None] | None = None,
    elsewhere: frozenset[bytes] = frozenset(),
) -> Examples:
    """Tokenises a dataset file; one supervised token at least and at most `max_seq_length` tokens a row.

    param: the request's name for the file. heed: called for every row; may raise, to break off. elsewhere: digests of
    another file's rows. Raises TrainingFailed when no row is left, or more than a tenth is no use.
    """
    lines, digests = Lines(), set[bytes]()
    ids_N, labels_N, ends = array("i"), array("i"), array("i", [0])  # 4 bytes a token, however many rows
    supervised_tokens = too_long = longest = unsupervised = kept = 0
    for line, sequences in render(path, renderer, param):
        if heed:
            heed()
        longest = max(longest, *(len(each.ids) for each in sequences))
        if any(len(each.ids) > max_seq_length for each in sequences):
            too_long += 1
            lines.add("too_long", line)
            continue
        lessons = [each for each in sequences if each.lessons]
        if not lessons:
            unsupervised += 1
            lines.add("without_completion", line)
            continue
        kept += 1
        digest = hashlib.blake2b(array("i", lessons[-1].ids).tobytes(), digest_size=16).digest()
        digests.add(digest)
        if digest in elsewhere:
            lines.add("known", line)
        for each in lessons:
            supervised_tokens += each.lessons
            ids_N.extend(each.ids)
            labels_N.extend(
                token if lesson else IGNORED for token, lesson in zip(each.ids, each.supervised, strict=True)
            )
            ends.append(len(ids_N))
    table = pyarrow.table({"input_ids": rows_of(ids_N, ends), "labels": rows_of(labels_N, ends)})
    dataset = Dataset(InMemoryTable(table), fingerprint=param)  # its own would pickle all of the table to hash it
    examples = Examples(
        dataset, kept, len(ids_N), supervised_tokens, too_long, longest, unsupervised, lines, frozenset(digests)
    )
    refuse_unusable(examples, max_seq_length, param)
    return examples


def render(path: Path, renderer: Renderer, param: Param) -> Iterator[tuple[int, list[Rendered]]]:
    """Line number and sequences of every row. Raises TrainingFailed with the line of one that cannot be read."""
    try:
        for line, conversation in reading.conversations(path):
            try:
                yield line, renderer.sequences(conversation.messages, **conversation.variables)
            except TrainingFailed as failure:
                raise TrainingFailed(failure.code, f"Line {line} of {param}: {failure.message}", param) from failure
    except reading.Unreadable as error:
        raise TrainingFailed("file_unreadable", f"{param}, {error}", param) from error


def rows_of(values_N: "array[int]", ends: "array[int]") -> pyarrow.ListArray:
    """Cuts a flat array into rows without copying it."""
    return pyarrow.ListArray.from_arrays(numpy.asarray(ends), pyarrow.array(numpy.asarray(values_N)))


def refuse_unusable(examples: Examples, max_seq_length: int, param: Param) -> None:
    allowed = 0 if not len(examples.dataset) else LEFT_OUT_AT_MOST * examples.rows
    if examples.too_long > allowed:
        raise TrainingFailed(
            "rows_too_long",
            f"{examples.too_long} of the {examples.rows} rows of {param} have more than "
            f"max_seq_length={max_seq_length} tokens ({examples.lines.words('too_long')}); the longest has "
            f"{examples.longest}. {SHORTEN}",
            "max_seq_length",
        )
    if examples.unsupervised > allowed or not len(examples.dataset):
        raise TrainingFailed(
            "rows_without_completion",
            f"{examples.unsupervised} of the {examples.rows} rows of {param} have nothing to learn: no assistant "
            "message with text and a weight other than 0. Give every row a completion.",
            param,
        )
