"""`fettle projects`: works on the database, as the operator does; it needs no key."""

import re
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from fettle.cli import tables
from fettle.cli.terminal import AsJson, console, example, moment, show_json, with_database
from fettle.settings import Settings

if TYPE_CHECKING:
    from fettle.db import Database
    from fettle.tenancy.quotas import Limits
    from models import Project

app = typer.Typer(no_args_is_help=True, help="Projects and their quotas (works on the database).")

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
Name = Annotated[str, typer.Argument(help="The project's name or id.")]
Change = Annotated[list[str], typer.Argument(help="quota=limit: 5, 20G, none or default", metavar="[QUOTA=LIMIT]...")]


@app.command("create", epilog=example("fettle projects create blue-team"))
def create(name: Annotated[str, typer.Argument(help="Lower-case letters, digits and '-'.")]) -> None:
    """Create a project and print its id."""
    from fettle.tenancy import audit, projects

    async def make(db: "Database") -> str:
        async with db.transaction() as session:
            made = await projects.create(session, name)
            audit.by_operator(session, "projects.create", "fettle projects create", made.id, made.id)
            return made.id

    print(with_database(Settings(), make))


@app.command("list", epilog=example("fettle projects list"))
def show(as_json: AsJson = False) -> None:
    """Show every project with the quotas that differ from the defaults."""
    from fettle.tenancy import projects

    async def read(db: "Database") -> "list[Project]":
        async with db.snapshot() as session:
            return await projects.everyone(session)

    found = with_database(Settings(), read)
    if as_json:
        own_fields = ("id", "name", "created_at", "quotas")
        show_json([{field: getattr(project, field) for field in own_fields} for project in found])
        return
    rows = []
    for project in found:
        own = ", ".join(f"{name}={shown(limit)}" for name, limit in (project.quotas or {}).items())
        rows.append((project.id, project.name, moment(project.created_at), own))
    tables.show(("id", "name", "created", "own quotas"), rows)


@app.command("delete", epilog=example("fettle projects delete blue-team --yes"))
def delete(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete a project and everything in it: keys, files, jobs, models and comparisons. This cannot be undone."""
    from fettle.tenancy import audit, project_deletion, projects

    if not yes:
        typer.confirm(f"Delete the project {name} and everything in it?", abort=True)

    async def remove(db: "Database") -> str:
        async with db.transaction() as session:
            project = await projects.find(session, name)
            await project_deletion.remove(session, project)  # a running worker deletes the objects
            audit.by_operator(session, "projects.delete", "fettle projects delete", project.id, project.id)
            return project.name

    print(f"The project {with_database(Settings(), remove)} is deleted.")


@app.command("quota", epilog=example("fettle projects quota blue-team queued_jobs=5 bytes=20G"))
def quota(name: Name, change: Change = [], as_json: AsJson = False) -> None:  # noqa: B006 — typer's way to say a default
    """Show a project's quotas and usage; `queued_jobs=5 bytes=20G` changes them first."""
    from fettle.tenancy import audit, projects, quotas

    settings = Settings()
    wanted = [parsed(text, list(quotas.QUOTAS)) for text in change]
    new = {quota: limit for quota, limit in wanted if not isinstance(limit, str)}
    back = [quota for quota, limit in wanted if isinstance(limit, str)]

    async def work(db: "Database") -> "tuple[Limits, dict[str, int]]":
        async with db.transaction() as session:
            project = await projects.find(session, name)
            if wanted:
                quotas.change(project, new, back)
                command = f"fettle projects quota {project.name} {' '.join(change)}"
                audit.by_operator(session, "projects.change", command, project.id, project.id)
            return quotas.limits(project, quotas.defaults(settings)), await quotas.usage(session, project.id)

    limits, used = with_database(settings, work)
    if as_json:
        show_json({row: {"used": used[row], "limit": limit} for row, limit in limits.items()})
        return
    table = Table("quota", "used", "limit", box=None)
    for row, limit in limits.items():
        table.add_row(row, f"{used[row]:,}", shown(limit))
    console.print(table)


def parsed(text: str, names: list[str]) -> tuple[str, int | str | None]:
    """The quota, and its limit: None for none, "default" for what the settings say. Raises BadParameter."""
    name, _, limit = text.partition("=")
    if name not in names:
        raise typer.BadParameter(f"{text!r} does not name a quota. Use one of {', '.join(names)}, as in queued_jobs=5.")
    if limit in ("none", "default"):
        return name, None if limit == "none" else limit
    found = re.fullmatch(r"(\d{1,15})([kMGT]?)", limit)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} has no valid limit. Use a number such as 5, 200k or 20G, or none or default."
        )
    return name, int(found[1]) * UNITS[found[2]]


def shown(limit: int | None) -> str:
    return "none" if limit is None else f"{limit:,}"
