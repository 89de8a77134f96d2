"""A report as Markdown (CommonMark with tables). What others wrote stays text: no markup, no HTML, no link."""

import re

from fettle.reports.chart import number
from fettle.reports.document import Block, Chart, Document, Notice, Sample, Section, Table, Text

PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")  # ASCII's: CommonMark allows a backslash before each


def write(document: Document) -> str:
    lines = [f"# {inline(document.title)}", "", inline(document.subtitle), ""]
    lines += [f"Status: **{inline(document.status)}**", ""]
    figures = [(name, f"{value} {beside}".strip()) for name, value, beside in document.figures]
    lines += [table(Table(("figure", "value"), figures)), ""]
    for each in document.sections:
        lines += [section(each), ""]
    return "\n".join(lines).rstrip() + "\n"


def section(found: Section) -> str:
    return "\n\n".join([f"## {inline(found.title)}", *(block(each) for each in found.blocks)])


def block(found: Block) -> str:
    match found:
        case Text(text):
            return inline(text)
        case Notice(level, text):
            return f"> **{inline(level)}**: {inline(text)}"
        case Table():
            return table(found)
        case Chart():
            return curves(found)
        case Sample():
            said = [f"**{inline(who)}**\n\n{fenced(text)}" for who, text in found.answers]
            return "\n\n".join([f"**Prompt**\n\n{fenced(found.prompt)}", *said])


def inline(text: str) -> str:
    """On one line, every sign as itself."""
    return PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def fenced(text: str) -> str:
    """As code, in a fence that the text cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def table(found: Table) -> str:
    align = "---:" if found.numbers else "---"
    ruler = ["---", *[align] * (len(found.header) - 1)]
    rows = [[inline(cell) for cell in row] for row in (found.header, *found.rows)]
    shown = [rows[0], ruler, *rows[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in shown)


def curves(found: Chart) -> str:
    """Markdown draws nothing: where each curve began, ended, and was lowest and highest."""
    rows = []
    for each in found.series:
        values = [value for _, value in each.points]
        rows.append((each.name, *map(number, (values[0], values[-1], min(values), max(values)))))
    title = f"**{inline(found.title)}** {inline(found.note)}".strip()
    return f"{title}\n\n{table(Table(('curve', 'first', 'last', 'lowest', 'highest'), rows))}"
