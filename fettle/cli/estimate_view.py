"""An estimate as a person reads it."""

from typing import Any

from rich.console import Console
from rich.table import Table

from fettle.cli.terminal import plain


def show(found: dict[str, Any], console: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in lines(found):
        table.add_row(plain(name, "bold"), plain(value))
    console.print(table)


def lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    source = "counted in a sample" if found["tokens_from"] == "sample" else "from the file's size"
    shown = [
        ("steps", f"{found['steps']:,}"),
        ("tokens", f"{found['tokens']:,} ({source})"),
        ("time", time_of(found)),
        ("queue", found["queue"]["message"]),
        ("memory", found["memory"]["message"]),
    ]
    if (cost := found["cost"]) is not None:
        unit = f" {cost['currency']}".rstrip()
        shown.append(("cost", f"{cost['likely']:.2f}{unit} (between {cost['low']:.2f} and {cost['high']:.2f})"))
    return shown


def time_of(found: dict[str, Any]) -> str:
    seconds = found["seconds"]
    if seconds is None:
        return str(found["basis"])
    low, high = duration(seconds["low"]), duration(seconds["high"])
    return f"{duration(seconds['likely'])} (between {low} and {high}). {found['basis']}"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
