"""`fettle audit`: works on the database, as the operator does; it needs no key."""

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from fettle.cli import tables
from fettle.cli.terminal import moment, plain, with_database
from fettle.settings import Settings

if TYPE_CHECKING:
    from fettle.db import Database

PAGE = 1000


def show(
    limit: Annotated[int, typer.Option(min=1, max=PAGE, help="How many, newest first.")] = 50,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print every entry as a line of JSON.")] = False,
) -> None:
    """Show who changed what, and from where."""
    if jsonl:
        export()
        return
    rows: list[tuple[object, ...]] = []
    for entry in page(limit, None)[0]:
        actor, change = entry["actor"], entry[entry["type"]]
        who = plain(actor[actor["type"]]["name"])
        rows.append((moment(entry["effective_at"]), who, entry["type"], change["id"] or "", entry["ip_address"] or ""))
    tables.show(("time", "who", "change", "of", "from"), rows, nothing="Nothing was changed yet.")


def export() -> None:
    after, more = None, True
    while more:
        entries, more = page(PAGE, after)
        for entry in entries:
            print(orjson.dumps(entry).decode())
            after = entry["id"]


def page(limit: int, after: str | None) -> tuple[list[dict[str, Any]], bool]:
    from fettle.tenancy import audit

    async def read(db: "Database") -> tuple[list[dict[str, Any]], bool]:
        async with db.snapshot() as session:
            rows, more = await audit.newest(session, audit.Filter(), after=after, limit=limit)
            return [audit.to_json(row) for row in rows], more

    return with_database(Settings(), read)
