"""A preview as a person reads it: the text of each row, what is learned in colour, and the file's figures."""

from itertools import accumulate
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fettle.cli.terminal import plain, printable, say
from fettle.datasets.formats.preview import look
from fettle.datasets.formats.validation import validate
from fettle.errors import InvalidRequest
from fettle.methods.common import auto_length
from fettle.registry import catalog
from fettle.settings import Settings

LEARNED, CONTEXT = "bold green", "dim"


def of_path(
    path: Path, model: str, settings: Settings, *, limit: int, max_seq_length: int | None, offset: int = 0
) -> dict[str, Any]:
    """A file that was not uploaded yet, validated first. Raises InvalidRequest, NotFound, OSError."""
    name = settings.model_aliases.get(model, model)
    if name.startswith("ft:") and name.count(":") > 1:
        name = catalog.base_of(name)
    entry = catalog.find(catalog.load(settings.catalog_file), name)
    base = catalog.on_disk(name, entry)
    if not path.is_file():
        raise InvalidRequest(f"The file {path} does not exist. Ids of uploaded files start with 'file-'.")
    report = validate(path, max_row_bytes=settings.max_row_bytes)
    if not report.ok:
        raise InvalidRequest(f"{path}: {report.summary()}")
    length = max_seq_length or auto_length(entry.length)
    seen = look(path, base, limit=limit, offset=offset, max_seq_length=length, whole=True)
    return {**seen, "notes": [note.model_dump() for note in report.notes]}


def show(seen: dict[str, Any], console: Console) -> None:
    table = Table("line", "tokens", "learned", "text", box=None, padding=(0, 2, 1, 0))
    for row in seen["rows"]:
        text = Text()
        starts = set(accumulate(row.get("sequences", [])[:-1]))
        for place, (piece, counts) in enumerate(zip(row["tokens"], row["loss_mask"], strict=True)):
            if place in starts:
                text.append("\n— the next turn, as it is served —\n", "dim italic")
            text.append(printable(piece), LEARNED if counts else CONTEXT)
        text.rstrip()
        if row["cut"]:
            text.append(" …")
        length = Text(str(row["token_count"]), "red" if row["too_long"] else "")
        table.add_row(str(row["line"]), length, str(row["supervised_tokens"]), text)
    console.print(table)
    say(plain(sentence(seen["summary"])), console)
    for note in seen.get("notes", []):
        say(plain(f"Line {note['line']}: {note['message']} {note['fix']}"), console)


def sentence(summary: dict[str, Any]) -> str:
    seen = f"{summary['rows']:,} rows" if summary["complete"] else f"The first {summary['rows']:,} rows"
    lengths = summary["row_tokens"]
    parts = [
        f"{seen} ({summary['format']}, {summary['shape']}): {summary['tokens']:,} tokens, "
        f"{summary['supervised_share']:.0%} of them learned.",
    ]
    if lengths is not None:
        parts.append(f"Tokens of a row: {lengths['min']:,} to {lengths['max']:,}, median {lengths['median']:,.0f}.")
    if summary["rows_too_long"]:
        lines = ", ".join(map(str, summary["lines_too_long"][:10]))
        more = ", …" if summary["rows_too_long"] > 10 else ""
        parts.append(
            f"{summary['rows_too_long']:,} rows have more than {summary['max_seq_length']:,} tokens "
            f"(lines {lines}{more})."
        )
    if summary["rows_without_completion"]:
        parts.append(f"{summary['rows_without_completion']:,} rows have nothing to learn.")
    return " ".join(parts)
