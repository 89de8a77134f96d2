"""How good a dataset is for training, beside being right: told with the report of its upload, and never in the way.

A file's first rows are looked at, within bounds of rows and time; `complete` says whether these were all. Nothing here
shows what a row says: findings name lines.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import Any, BinaryIO, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict

from fettle.datasets.formats import reading, sensitive
from fettle.datasets.formats.facts import shows_reasoning
from fettle.datasets.formats.problem_codes import QUALITY
from fettle.datasets.formats.problems import plural
from fettle.datasets.formats.rows import SHAPES, shape_of, to_conversation, to_pairs

ROWS, SECONDS = 50_000, 5.0
LINES = 20  # named of each finding
LONG = 10  # times the median
LABELS, REPEATED = 20, 5  # answers are labels where there are at most so many, each in so many rows on average
UNBALANCED = 0.9  # of the rows
SAME_ANSWER = 0.1  # of the rows, in a file whose answers are no labels
PLACEHOLDERS = frozenset(
    {"n/a", "na", "nan", "none", "null", "nil", "todo", "tbd", "fixme", "...", "…", "-", "--", "?", "undefined", "x"}
    | {"#n/a", "#ref!", "#value!", "#name?", "[object object]", "lorem ipsum", "test", "placeholder", "[]", "{}"}
)
UNFILLED = (
    "{{",
    "[insert",
    "[your ",
    "<your ",
    "{answer}",
    "{response}",
    "{output}",
    "{name}",
    "lorem ipsum",
    "as an ai ",
)


class Finding(BaseModel):
    """rows: how many it is about. lines: the first of them."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    fix: str
    rows: int
    lines: list[int]


class Quality(BaseModel):
    """characters: of a whole row. reasoning: the share of the answers that show their reasoning. labels: where answers
    are few and often repeated, how many there are, and the shares of the most and the least frequent.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    complete: bool
    characters: dict[str, int | float] | None
    reasoning: float | None
    labels: dict[str, int | float] | None
    findings: list[Finding]


class Example(NamedTuple):
    """prompt: what comes before the answer. text: all that is said. rejected: of a comparison."""

    prompt: bytes
    answer: str | None
    text: str
    rejected: str | None
    reasons: bool


@dataclass
class Tally:
    lines: dict[str, list[int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    seen: dict[bytes, bytes] = field(default_factory=dict)  # prompt: its first answer
    examples: set[bytes] = field(default_factory=set)
    answers: Counter[bytes] = field(default_factory=Counter)  # of rows that are no copies
    lengths: list[tuple[int, int]] = field(default_factory=list)  # characters, line
    answered: int = 0
    reasoned: int = 0

    def add(self, code: str, line: int) -> None:
        self.counts[code] += 1
        named = self.lines.setdefault(code, [])
        if len(named) < LINES:
            named.append(line)


def of(file: BinaryIO, max_row_bytes: int, clock: Callable[[], float] = time.monotonic) -> Quality:
    """Of a file without errors. Blocking; takes SECONDS at most, and memory for ROWS digests."""
    file.seek(0)
    lines = reading.read(file, max_row_bytes)[1]
    tally, end, complete = Tally(), clock() + SECONDS, True
    for number, row, problems in islice(lines, ROWS):
        if row is not None and not problems:
            look(tally, number, example(row))
        if clock() > end:
            complete = False
            break
    complete = complete and next(lines, None) is None
    return summary(tally, complete)


def example(row: dict[str, Any]) -> Example:
    shape = SHAPES[shape_of(row) or ""]
    if shape.to_pairs is not None:
        pair = to_pairs(row)[0]
        before, chosen, rejected = pair.prompt, said(pair.chosen), said(pair.rejected)
        text = "\n".join([*map(said, before), chosen, rejected])
        return Example(digest(before), chosen, text, rejected, shows_reasoning([pair.chosen]))
    messages = to_conversation(row).messages
    last = messages[-1] if messages and messages[-1]["role"] == "assistant" else None
    before = messages if last is None else messages[:-1]
    return Example(
        digest(before),
        None if last is None else said(last),
        "\n".join(map(said, messages)),
        None,
        last is not None and shows_reasoning([last]),
    )


def said(message: dict[str, Any]) -> str:
    """The content of a message, and its calls."""
    content = message.get("content") or ""
    calls = message.get("tool_calls")
    return f"{content}\n{orjson.dumps(calls, default=str).decode()}" if calls else content


def digest(value: Any) -> bytes:
    """Of messages, or of a text; blanks aside."""
    texts = [value] if isinstance(value, str) else [text for turn in value for text in (turn["role"], said(turn))]
    joined = "\0".join(" ".join(text.split()) for text in texts)
    return hashlib.blake2b(joined.encode(errors="replace"), digest_size=12).digest()


def look(tally: Tally, line: int, found: Example) -> None:
    """One row."""
    tally.lengths.append((len(found.text), line))
    answer, rejected = digest(found.answer or ""), digest(found.rejected or "")
    whole = found.prompt + answer + rejected
    again = whole in tally.examples
    if again:
        tally.add("duplicate_rows", line)
    elif found.answer is not None and contradicts(tally, found):
        tally.add("conflicting_answers", line)
    tally.examples.add(whole)
    for code in sensitive.kinds(found.text):
        tally.add(code, line)
    if found.answer is None:
        return
    tally.seen.setdefault(found.prompt, answer)
    tally.answered += 1
    tally.reasoned += found.reasons
    tally.answers[answer] += not again
    plain = found.answer.strip().lower()
    if plain.rstrip(".") in PLACEHOLDERS or any(sign in plain for sign in UNFILLED):
        tally.add("empty_answers", line)


def contradicts(tally: Tally, found: Example) -> bool:
    """Whether an earlier row answers the same prompt otherwise; of comparisons, prefers what this one rejects."""
    if found.answer is None:
        return False
    before = tally.seen.get(found.prompt)
    if before is None:
        return False
    return before == digest(found.rejected) if found.rejected is not None else before != digest(found.answer)


def summary(tally: Tally, complete: bool) -> Quality:
    lengths = [length for length, _ in tally.lengths]
    middle = median(lengths) if lengths else 0
    for length, line in tally.lengths:
        if length > LONG * max(middle, 1):
            tally.add("long_rows", line)
    balance = labels(tally)
    if balance is not None and balance["largest"] > UNBALANCED:
        tally.counts["labels_unbalanced"] = tally.answered
    distinct = sum(tally.answers.values())
    if balance is None and distinct >= 2 * LABELS:
        same = tally.answers.most_common(1)[0][1]
        if same > max(1, SAME_ANSWER * distinct):
            tally.counts["same_answer"] = same
    share = round(tally.reasoned / tally.answered, 4) if tally.answered else None
    if share is not None and 0 < share < 1:
        tally.counts["mixed_reasoning"] = min(tally.reasoned, tally.answered - tally.reasoned)
    findings = [finding(code, tally.counts[code], tally.lines.get(code, [])) for code in QUALITY if tally.counts[code]]
    return Quality(
        rows=len(lengths),
        complete=complete,
        characters={"min": min(lengths), "median": middle, "max": max(lengths)} if lengths else None,
        reasoning=share,
        labels=balance,
        findings=findings,
    )


def labels(tally: Tally) -> dict[str, int | float] | None:
    """Where answers are few and often repeated: how many, and the shares of the most and the least frequent."""
    counts = sorted(tally.answers.values())
    rows = sum(counts)
    if not 2 <= len(counts) <= LABELS or rows < REPEATED * len(counts):
        return None
    share = {"largest": counts[-1] / rows, "smallest": counts[0] / rows}
    return {"count": len(counts), **{name: round(value, 4) for name, value in share.items()}}


def finding(code: str, rows: int, lines: list[int]) -> Finding:
    message, fix = QUALITY[code]
    names = {"rows": plural(rows, "row")}
    return Finding(code=code, message=message.format_map(names), fix=fix, rows=rows, lines=lines)


def overlap(
    training: Iterable[tuple[int, dict[str, Any]]], validation: Iterable[tuple[int, dict[str, Any]]]
) -> Finding | None:
    """The rows of a validation file whose prompts the training file has as well."""
    known = {example(row).prompt for _, row in islice(training, ROWS)}
    lines = [line for line, row in islice(validation, ROWS) if example(row).prompt in known]
    return finding("known_in_training", len(lines), lines[:LINES]) if lines else None
