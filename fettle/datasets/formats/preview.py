"""What a job would train on: the first rows of a file as tokens with their loss mask, and figures of many more.

Rendered by the same code that training uses. The work is bounded, whatever the file holds; `complete` says whether
all of it was looked at.
"""

from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from fettle.datasets.formats import reading
from fettle.datasets.formats.rows import shape_of, to_conversation
from fettle.errors import InvalidRequest, TrainingFailed

if TYPE_CHECKING:
    from fettle.datasets.formats.render import Renderer

MAX_ROWS = 1000  # rendered for the figures
MAX_TOKENS = 500_000  # rendered for the figures; the row that passes it is the last
MAX_SHOWN = 4096  # tokens shown of one row
ALL_SHOWN = 200_000  # tokens shown of all rows
LINES_NAMED = 50  # of the rows that a job would leave out
BARS = 20  # of the histogram of lengths


@dataclass
class Row:
    """One row (T tokens); `tokens` are texts, and `loss_mask` is 1 where a token is learned.

    sequences: their lengths. A row has several, one after the other, where the template rewrites earlier turns.
    """

    line: int
    tokens: list[str]
    token_ids: list[int]
    loss_mask: list[int]
    token_count: int
    supervised_tokens: int
    sequences: list[int]
    cut: bool  # more tokens than are shown
    too_long: bool | None  # for max_seq_length, where one was asked about

    def cut_to(self, tokens: int) -> "Row":
        """The same, with at most so many tokens shown."""
        if len(self.tokens) <= tokens:
            return self
        shown = (self.tokens[:tokens], self.token_ids[:tokens], self.loss_mask[:tokens])
        return replace(self, tokens=shown[0], token_ids=shown[1], loss_mask=shown[2], cut=True)


@dataclass
class Figures:
    lengths: list[int] = field(default_factory=list)
    supervised: int = 0
    too_long: list[int] = field(default_factory=list)  # lines
    unsupervised: list[int] = field(default_factory=list)


def look(
    path: Path, base: Path, *, limit: int, max_seq_length: int | None, whole: bool, offset: int = 0
) -> dict[str, Any]:
    """Blocking. whole: whether the file at `path` is not only the beginning of one. offset: rows to pass over; the
    figures are of those after it.
    """
    renderer = renderer_of(base)
    rows: list[Row] = []
    figures = Figures()
    with path.open("rb") as file:
        form, lines = reading.read(file)
        shape = None
        for number, row, findings in islice(lines, offset, offset + MAX_ROWS):
            if row is None or findings:
                break  # the beginning of a file may end within a record
            shape = shape or shape_of(row)
            shown = render(renderer, number, row, max_seq_length)
            figures.lengths.append(shown.token_count)
            figures.supervised += shown.supervised_tokens
            if shown.too_long:
                figures.too_long.append(number)
            if not shown.supervised_tokens:
                figures.unsupervised.append(number)
            if len(rows) < limit:
                rows.append(shown.cut_to(ALL_SHOWN - sum(len(each.tokens) for each in rows)))
            if sum(figures.lengths) > MAX_TOKENS:
                break
        complete = whole and next(lines, None) is None
    return {"rows": [asdict(row) for row in rows], "summary": summary(figures, form, shape, complete, max_seq_length)}


@lru_cache(maxsize=4)
def renderer_of(base: Path) -> "Renderer":
    """Raises InvalidRequest for a base model without what a chat needs."""
    from fettle.datasets.formats.render import Renderer  # the API starts without tokenizers

    try:
        return Renderer(base)
    except TrainingFailed as failure:
        raise InvalidRequest(failure.message, code=failure.code, param="model") from failure


def render(renderer: "Renderer", number: int, row: dict[str, Any], max_seq_length: int | None) -> Row:
    conversation = to_conversation(row)
    try:
        found = renderer.sequences_with_text(conversation.messages, **conversation.variables)
    except TrainingFailed as failure:
        raise InvalidRequest(f"Line {number}: {failure.message}", code=failure.code, param="model") from failure
    lengths = [len(rendered.ids) for rendered, _ in found]
    mask: list[int] = []
    for rendered, _ in found:
        mask += [0, *(int(counts) for counts in rendered.supervised[1:])]  # nothing predicts the first token
    return Row(
        line=number,
        tokens=[piece for _, pieces in found for piece in pieces][:MAX_SHOWN],
        token_ids=[token for rendered, _ in found for token in rendered.ids][:MAX_SHOWN],
        loss_mask=mask[:MAX_SHOWN],
        token_count=sum(lengths),
        supervised_tokens=sum(rendered.lessons for rendered, _ in found),
        sequences=lengths,
        cut=sum(lengths) > MAX_SHOWN,
        too_long=None if max_seq_length is None else max(lengths) > max_seq_length,
    )


def summary(
    figures: Figures, form: str, shape: str | None, complete: bool, max_seq_length: int | None
) -> dict[str, Any]:
    lengths = figures.lengths
    tokens = sum(lengths)
    return {
        "format": form,
        "shape": shape,
        "rows": len(lengths),
        "complete": complete,
        "tokens": tokens,
        "supervised_tokens": figures.supervised,
        "supervised_share": round(figures.supervised / tokens, 4) if tokens else 0.0,
        "row_tokens": {"min": min(lengths), "median": median(lengths), "max": max(lengths)} if lengths else None,
        "length_histogram": histogram(lengths),
        "rows_without_completion": len(figures.unsupervised),
        "lines_without_completion": figures.unsupervised[:LINES_NAMED],
        "max_seq_length": max_seq_length,
        "rows_too_long": None if max_seq_length is None else len(figures.too_long),
        "lines_too_long": None if max_seq_length is None else figures.too_long[:LINES_NAMED],
    }


def histogram(lengths: list[int]) -> list[dict[str, int]]:
    """How many rows have `start` tokens or more, and fewer than `end`; BARS of one width, or fewer where that is 1."""
    if not lengths:
        return []
    low = min(lengths)
    width = (max(lengths) - low) // BARS + 1
    counts = [0] * ((max(lengths) - low) // width + 1)
    for length in lengths:
        counts[(length - low) // width] += 1
    return [
        {"start": low + place * width, "end": low + (place + 1) * width, "rows": n} for place, n in enumerate(counts)
    ]
