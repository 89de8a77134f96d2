"""Lists as a person reads them: nothing is cut, and nothing is wider than the terminal."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.padding import Padding
from rich.text import Text

from fettle.cli.terminal import console, plain, uncut

GAP = "  "


def show(columns: Sequence[str], rows: Sequence[Sequence[object]], nothing: str = "") -> None:
    """A line for each row, which a script can read; a narrow terminal gets the columns that do not fit below.

    nothing: what to say in a terminal when there are no rows.
    """
    if not rows and nothing and console.is_terminal:
        console.print(plain(nothing, "dim"))
        return
    out = console if console.is_terminal else uncut
    cells = [[each if isinstance(each, Text) else plain(str(each).replace("\n", " ")) for each in row] for row in rows]
    widths = [max(cell_len(each.plain) for each in column) for column in zip(map(Text, columns), *cells, strict=True)]
    room = fitting(widths, out.width)
    out.print(line([Text(name, "bold") for name in columns[:room]], widths), soft_wrap=True)
    for row in cells:
        out.print(line(row[:room], widths), soft_wrap=True)
        for name, cell in zip(columns[room:], row[room:], strict=True):
            if cell.plain:
                out.print(Padding(Text(f"{name} ", "dim") + cell, (0, 0, 0, len(GAP))), overflow="fold")


def fitting(widths: Sequence[int], most: int) -> int:
    """How many columns fit side by side; the first always stands."""
    used = 0
    for count, width in enumerate(widths):
        used += width + (len(GAP) if count else 0)
        if used > most:
            return max(1, count)
    return len(widths)


def line(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    """Cells under one another, without blanks at the end."""
    joined = Text()
    for place, (cell, width) in enumerate(zip(cells, widths, strict=False)):
        last = place == len(cells) - 1
        joined += cell + ("" if last else " " * (width - cell_len(cell.plain)) + GAP)
    joined.rstrip()
    return joined


def facts(pairs: Sequence[tuple[str, object]]) -> None:
    """One thing: its properties below one another, those that it has."""
    out = console if console.is_terminal else uncut
    known = [(name, value) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        text = value if isinstance(value, Text) else plain(value)
        label = Text(f"{name:{width}}{GAP}", "dim")
        if not out.is_terminal or cell_len(text.plain) + len(label.plain) <= out.width:
            out.print(label + text, soft_wrap=True)
        else:
            out.print(Text(name, "dim"))
            out.print(Padding(text, (0, 0, 0, len(GAP))), overflow="fold")
