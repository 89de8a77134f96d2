"""A report as data: sections of paragraphs, tables, charts and samples. Two writers make HTML and Markdown of it."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

KEPT = "\n\t\u200c\u200d"  # the last two join letters and emoji
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's categories of what turns text around, or is not there to be seen


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Notice:
    """Something that needs attention. level: warn, error or ok."""

    level: str
    text: str


@dataclass(frozen=True)
class Table:
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool = True  # whether all columns but the first are numbers


@dataclass(frozen=True)
class Series:
    """points: (step, value), in the order of the steps."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """note: what good looks like."""

    title: str
    series: Sequence[Series]
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """What models said to one prompt. answers: (who, text)."""

    prompt: str
    answers: Sequence[tuple[str, str]]


Block = Text | Notice | Table | Chart | Sample


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """figures: what matters most, as (name, value, what it is compared with)."""

    title: str
    subtitle: str
    status: str
    figures: Sequence[tuple[str, str, str]]
    sections: Sequence[Section] = field(default_factory=tuple)


def visible(text: object, most: int = 400) -> str:
    """What others wrote, as it may be shown: at most `most` characters, � for what is not to be seen."""
    whole = str(text)
    shown = "".join(sign if sign in KEPT or unicodedata.category(sign) not in UNSEEN else "�" for sign in whole[:most])
    return f"{shown}…" if len(whole) > most else shown
