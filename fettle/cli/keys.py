"""`fettle keys`: works on the database, as the operator does; it needs no key."""

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from fettle.cli import tables
from fettle.cli.terminal import AsJson, console, duration, example, moment, plain, show_json, with_database
from fettle.settings import Settings
from fettle.tenancy.scopes import ADMIN, ALL, SCOPES

if TYPE_CHECKING:
    from fettle.db import Database
    from models import ApiKey, Project

app = typer.Typer(no_args_is_help=True, help="API keys (works on the database).")

KeyId = Annotated[str, typer.Argument(help="The key's id. `fettle keys list` shows it.")]
End = Annotated[int | None, typer.Option(parser=duration, metavar="TIME", help="90m, 12h or 30d; without it: never.")]
Grace = Annotated[int, typer.Option(parser=duration, metavar="TIME", help="How long the old key stays live.")]
Scopes = Annotated[list[str], typer.Option("--scope", help=f"May be repeated: {', '.join(SCOPES)}.")]


@app.command("create", epilog=example("fettle keys create laptop --expires-in 30d"))
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    project: Annotated[str, typer.Option(help="The key's project; created if it does not exist.")] = "default",
    scope: Scopes = [ALL],  # noqa: B006 — typer's way to say a default
    expires_in: End = None,
    owner: Annotated[str | None, typer.Option(help="The person or team that the key belongs to.")] = None,
) -> None:
    """Create a key and print it. It is never shown again."""
    from fettle.tenancy import api_keys, audit, projects

    settings = Settings()
    end = None if expires_in is None else time.time() + expires_in

    async def make(db: "Database") -> str:
        async with db.transaction() as session:
            home = await projects.ensure(session, project)
            row, key = await api_keys.create(
                session, home.id, name, api_keys.pepper(settings), key_scopes=scope, expires_at=end, owner=owner
            )
            audit.by_operator(session, "api_keys.create", "fettle keys create", home.id, row.id)
            return key

    print(with_database(settings, make))


@app.command("list", epilog=example("fettle keys list"))
def show(as_json: AsJson = False) -> None:
    """Show every key's id, project, scopes and state, but not the key itself."""
    from fettle.tenancy import api_keys

    async def read(db: "Database") -> "list[tuple[ApiKey, Project]]":
        async with db.snapshot() as session:
            return await api_keys.everyone(session)

    found = with_database(Settings(), read)
    if as_json:
        show_json([as_object(key, project) for key, project in found])
        return
    rows: list[tuple[object, ...]] = []
    for key, project in found:
        scopes = Text(" ".join(key.scopes), "bold" if ADMIN in key.scopes else "")
        made = moment(key.created_at)
        rows.append((key.id, project.name, key.name, key.owner or "", f"{key.hint}…", scopes, made, state(key)))
    tables.show(("id", "project", "name", "owner", "key", "scopes", "created", "state"), rows)


def as_object(key: "ApiKey", project: "Project") -> dict[str, object]:
    from fettle.tenancy import api_keys

    known = {
        "id": key.id,
        "project": project.name,
        "name": key.name,
        "owner": key.owner,
        "hint": key.hint,
        "scopes": key.scopes,
    }
    times = {"created_at": key.created_at, "expires_at": key.expires_at, "revoked_at": key.revoked_at}
    return {**known, **times, "state": api_keys.state(key)}


def state(key: "ApiKey") -> str:
    from fettle.tenancy import api_keys

    match api_keys.state(key), key.revoked_at, key.expires_at:
        case "revoked", float(at), _:
            return f"revoked {moment(at)}"
        case "expired", _, float(at):
            return f"expired {moment(at)}"
        case _, _, float(at):
            return f"live until {moment(at)}"
    return "live"


@app.command("rotate", epilog=example("fettle keys rotate key_abc123 --grace 1h"))
def rotate(
    key_id: KeyId,
    grace: Grace = "24h",  # type: ignore[assignment]  # typer reads defaults as it reads arguments
    expires_in: End = None,
) -> None:
    """Create a key's successor and print it; the old key expires after the grace period."""
    from fettle.tenancy import api_keys, audit

    settings = Settings()

    async def make(db: "Database") -> str:
        async with db.transaction() as session:
            row = await api_keys.get(session, key_id)
            lifetime = api_keys.lifetime(row) if expires_in is None else expires_in
            end = None if lifetime is None else time.time() + lifetime
            _, key = await api_keys.rotate(session, row, api_keys.pepper(settings), grace=grace, expires_at=end)
            audit.by_operator(session, "api_keys.rotate", "fettle keys rotate", row.project_id, row.id)
            return key

    print(with_database(settings, make))


@app.command("revoke", epilog=example("fettle keys revoke key_abc123"))
def revoke(key_id: KeyId) -> None:
    """Revoke a key immediately."""
    from fettle.tenancy import api_keys, audit

    async def end(db: "Database") -> None:
        async with db.transaction() as session:
            row = await api_keys.revoke(session, key_id)
            audit.by_operator(session, "api_keys.revoke", "fettle keys revoke", row.project_id, row.id)

    with_database(Settings(), end)
    console.print(plain(f"{key_id} revoked"))
