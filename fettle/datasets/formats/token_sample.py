"""How many tokens a job would see of a file: counted in its first rows, by the code that training renders with."""

from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fettle.datasets.formats import reading
from fettle.datasets.formats.preview import MAX_ROWS, MAX_TOKENS, renderer_of
from fettle.datasets.formats.prompts import to_prompt
from fettle.datasets.formats.rows import SHAPES, shape_of, to_conversation, to_pairs
from fettle.errors import InvalidRequest, TrainingFailed

if TYPE_CHECKING:
    from fettle.datasets.formats.render import Renderer

Use = Literal["text", "pairs", "prompts"]  # what a method takes of a row


@dataclass
class Sample:
    """items: texts or pairs that fit, with their tokens. prompts: with theirs; of comparisons each prompt counts once.

    too_long: items with more tokens than max_seq_length. longest: tokens. whole: the file has no more rows.
    """

    rows: int = 0
    items: int = 0
    tokens: int = 0
    prompts: int = 0
    prompt_tokens: int = 0
    too_long: int = 0
    longest: int = 0
    whole: bool = False
    seen: set[str] = field(default_factory=set)  # prompts

    def to_json(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "seen"}


def look(path: Path, base: Path, *, use: Use, max_seq_length: int, whole: bool) -> dict[str, Any]:
    """Blocking. whole: the file at `path` is not only the beginning of one. Raises InvalidRequest."""
    renderer, found = renderer_of(base), Sample()
    with path.open("rb") as file:
        lines = reading.read(file)[1]
        for number, row, findings in islice(lines, MAX_ROWS):
            if row is None or findings:
                break  # the beginning of a file may end within a record
            try:
                count(found, renderer, row, use, max_seq_length)
            except TrainingFailed as failure:
                raise InvalidRequest(f"Line {number}: {failure.message}", code=failure.code, param="model") from failure
            found.rows += 1
            if found.tokens + found.prompt_tokens > MAX_TOKENS:
                break
        found.whole = whole and next(lines, None) is None
    return found.to_json()


def count(found: Sample, renderer: "Renderer", row: dict[str, Any], use: Use, max_seq_length: int) -> None:
    shape = shape_of(row)
    if use == "text":
        conversation = to_conversation(row)
        sequences = renderer.sequences(conversation.messages, **conversation.variables)
        add(found, [len(each.ids) for each in sequences], max_seq_length)
        return
    if shape is not None and SHAPES[shape].to_pairs is not None:
        pairs = to_pairs(row)
        for pair in pairs:
            sides = (renderer.render([*pair.prompt, side], **pair.variables) for side in (pair.chosen, pair.rejected))
            add(found, [len(side.ids) for side in sides], max_seq_length)
        messages, variables = pairs[0].prompt, pairs[0].variables
    else:
        messages, variables = to_prompt(row).messages, {}
    text = renderer.text(messages, opening=True, **variables)
    if use == "pairs":
        if text in found.seen:
            return
        found.seen.add(text)
    found.prompts += 1
    found.prompt_tokens += len(renderer.tokenizer.encode(text, add_special_tokens=False).ids)


def add(found: Sample, lengths: list[int], max_seq_length: int) -> None:
    found.longest = max(found.longest, *lengths)
    if max(lengths) > max_seq_length:
        found.too_long += 1
        return
    found.items += 1
    found.tokens += sum(lengths)
