"""The `fettle` command. Every subcommand reads the same `FETTLE_*` settings.

Commands import what they need themselves: `fettle api` shall not wait for alembic, nor `fettle jobs` for SQLAlchemy.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fettle.errors import FettleError
from fettle.settings import Settings

if TYPE_CHECKING:
    from fettle.db import Database
    from models import ApiKey, Project

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Fine-tuning as a service that you run yourself.")
keys = typer.Typer(no_args_is_help=True, help="API keys (works on the database).")
jobs = typer.Typer(no_args_is_help=True, help="Jobs (asks the API; key from FETTLE_API_KEY or the data folder).")
app.add_typer(keys, name="keys")
app.add_typer(jobs, name="jobs")

console = Console()
uncut = Console(width=1000)  # for ids and names, which are there to be copied: a narrow terminal may wrap them
T = TypeVar("T")


def main() -> None:
    """Errors that a person can mend come as one sentence, without a traceback."""
    try:
        app()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"FETTLE_{str(first['loc'][0]).upper()}" if first["loc"] else "settings"
        fail(f"{name}={first.get('input')!r}: {first['msg']}")
    except FettleError as error:
        fail(error.message)
    except OSError as error:
        fail(f"{type(error).__name__}: {error}. `fettle doctor` checks every part.")


def fail(message: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print("[red]error[/]", Text(message))
    sys.exit(1)


@app.command()
def up() -> None:
    """Run everything on this machine: API, worker, engine, Redis; SQLite and files under FETTLE_DATA."""
    from fettle.up import run

    run(Settings())


@app.command()
def api() -> None:
    """Run the HTTP API (no torch)."""
    become("api")


@app.command()
def worker() -> None:
    """Run a worker: claims jobs and trains them."""
    become("worker")


@app.command()
def engine() -> None:
    """Run the inference engine: serves base models and adapters."""
    become("worker.engine")


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A tuned model or a checkpoint: ft:…")],
    to: Annotated[str, typer.Option(metavar="FOLDER", help="New, or empty.")],
    dtype: Annotated[str | None, typer.Option(help="bf16 or fp32; unset: the base model's.")] = None,
) -> None:
    """Merge a tuned model into its base: an ordinary model in a folder (loads torch)."""
    become("worker.export", name, "--to", to, *(["--dtype", dtype] if dtype else []))


def become(module: str, *arguments: str) -> None:
    """This process turns into the module's, so that signals reach it. A bad setting is said here, in one sentence."""
    Settings()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 — our own interpreter and module


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from fettle import migrate as migrations

    settings = Settings()
    settings.data.mkdir(parents=True, exist_ok=True)

    async def upgrade(db: "Database") -> tuple[str | None, str | None]:
        before, newest = await migrations.revisions(db)
        await migrations.upgrade(db)
        return before, newest

    before, after = with_database(settings, upgrade)
    console.print(f"schema {after}" + (" (unchanged)" if before == after else f" (was {before or 'empty'})"))


@app.command()
def doctor() -> None:
    """Check every part and say what to do about each that fails."""
    from fettle.doctor import examine

    findings = asyncio.run(examine(Settings()))
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        sign = "[green]✓[/]" if finding.ok else ("[red]✗[/]" if finding.needed else "[yellow]![/]")
        table.add_row(sign, finding.part, Text(finding.says))
    console.print(table)
    if any(finding.needed and not finding.ok for finding in findings):
        sys.exit(1)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    project: Annotated[str, typer.Option(help="Project that the key opens; made when there is none.")] = "default",
) -> None:
    """Make a key and print it, this once."""
    from fettle import keys as api_keys
    from fettle import projects

    settings = Settings()

    async def create(db: "Database") -> str:
        async with db.transaction() as session:
            owner = await projects.ensure(session, project)
            _, key = await api_keys.create(session, owner.id, name, api_keys.pepper(settings))
            return key

    print(with_database(settings, create))


@keys.command("list")
def list_keys() -> None:
    """Show every key's id, project and state; never the key."""
    from fettle import keys as api_keys

    async def read(db: "Database") -> "list[tuple[ApiKey, Project]]":
        async with db.snapshot() as session:
            return await api_keys.everyone(session)

    table = Table("id", "project", "name", "key", "created", "state", box=None)
    for key, project in with_database(Settings(), read):
        state = f"revoked {moment(key.revoked_at)}" if key.revoked_at else "live"
        table.add_row(key.id, project.name, Text(key.name), f"{key.hint}…", moment(key.created_at), state)
    uncut.print(table)


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `fettle keys list` shows it.")]) -> None:
    """Make a key useless at once."""
    from fettle import keys as api_keys

    async def revoke(db: "Database") -> None:
        async with db.transaction() as session:
            await api_keys.revoke(session, key_id)

    with_database(Settings(), revoke)
    console.print(f"{key_id} revoked")


@jobs.command("list")
def list_jobs(limit: Annotated[int, typer.Option(min=1, max=100)] = 20) -> None:
    """The newest jobs."""
    from fettle.client import Client

    table = Table("id", "status", "base model", "created", "tuned model", box=None)
    for job in Client(Settings()).get("/v1/fine_tuning/jobs", limit=limit)["data"]:
        row = (job["id"], job["status"], job["model"], moment(job["created_at"]), job["fine_tuned_model"] or "")
        table.add_row(*(Text(cell) for cell in row))
    uncut.print(table)


@jobs.command("watch")
def watch_job(job_id: Annotated[str, typer.Argument(help="As `fettle jobs list` shows it.")]) -> None:
    """Follow a job to its end: messages, a progress bar, the loss. Exits 1 unless it succeeds."""
    from fettle.client import Client
    from fettle.progress import watch

    client = Client(Settings())
    watch(client.events(job_id), console)
    job = client.get(f"/v1/fine_tuning/jobs/{job_id}")
    console.print(f"{job['status']}  {job['fine_tuned_model'] or ''}", highlight=False)
    if job["status"] != "succeeded":
        sys.exit(1)


def with_database(settings: Settings, work: "Callable[[Database], Awaitable[T]]") -> T:
    """Raises Unavailable when the database cannot be used."""
    from sqlalchemy.exc import DBAPIError

    from fettle.db import Database
    from fettle.errors import Unavailable

    async def run() -> T:
        db = Database(settings.database)
        try:
            return await work(db)
        except DBAPIError as error:
            where = db.engine.url.render_as_string(hide_password=True)
            raise Unavailable(f"The database {where} refused: {error.orig}. Has `fettle migrate` been run?") from error
        finally:
            await db.close()

    return asyncio.run(run())


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
