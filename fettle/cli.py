"""The `fettle` command. Every subcommand reads the same `FETTLE_*` settings."""

import asyncio
import os
import sys
import time
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import httpx
import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from fettle import keys as api_keys
from fettle import migrate as migrations
from fettle import projects
from fettle.catalog import CatalogError
from fettle.client import Client
from fettle.db import Database
from fettle.doctor import examine
from fettle.errors import FettleError
from fettle.logs import configure
from fettle.progress import watch as watch_job
from fettle.settings import Settings
from fettle.up import UpError
from fettle.up import run as run_up
from models import ApiKey, Project

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Fine-tuning as a service that you run yourself.")
keys = typer.Typer(no_args_is_help=True, help="API keys (reads the database).")
jobs = typer.Typer(no_args_is_help=True, help="Jobs (asks the API; key from FETTLE_API_KEY or the data folder).")
app.add_typer(keys, name="keys")
app.add_typer(jobs, name="jobs")

console = Console()
T = TypeVar("T")
ProjectOption = Annotated[str, typer.Option(help="Project that the key opens; made when there is none.")]


def main() -> None:
    """Errors that a person can mend come as one sentence, without a traceback."""
    try:
        app()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"FETTLE_{str(first['loc'][0]).upper()}" if first["loc"] else "settings"
        fail(f"{name}={first.get('input')!r}: {first['msg']}")
    except (FettleError, CatalogError, UpError) as error:
        fail(str(error))
    except httpx.TransportError as error:
        fail(f"The API does not answer ({type(error).__name__}): is it running? FETTLE_URL says where it is.")
    except (DBAPIError, OSError) as error:
        fail(f"{type(error).__name__}: {error}. `fettle doctor` checks every part.")


def fail(message: str) -> None:
    Console(stderr=True).print(f"[red]error[/] {message}", highlight=False)
    sys.exit(1)


@app.command()
def up() -> None:
    """Run everything on this machine: API, worker, engine, Redis; SQLite and files under FETTLE_DATA."""
    run_up(Settings())


@app.command()
def api() -> None:
    """Run the HTTP API (no torch)."""
    settings = Settings()
    configure()
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )


@app.command()
def worker() -> None:
    """Run a worker: claims jobs and trains them."""
    become("worker")


@app.command()
def engine() -> None:
    """Run the inference engine: serves base models and adapters."""
    become("worker.engine")


def become(module: str) -> None:
    """This process turns into the module's, so that signals reach it."""
    os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606 — our own interpreter and module


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    settings = Settings()
    settings.data.mkdir(parents=True, exist_ok=True)
    before, after = run(with_database(settings, upgrade))
    console.print(f"schema {after}" + (" (unchanged)" if before == after else f" (was {before or 'empty'})"))


async def upgrade(db: Database) -> tuple[str | None, str | None]:
    before, _ = await migrations.revisions(db)
    await migrations.upgrade(db)
    return before, (await migrations.revisions(db))[0]


@app.command()
def doctor() -> None:
    """Check every part and say what to do about each that fails."""
    findings = run(examine(Settings()))
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        sign = "[green]✓[/]" if finding.ok else ("[yellow]![/]" if not finding.needed else "[red]✗[/]")
        table.add_row(sign, finding.part, finding.says)
    console.print(table)
    if any(finding.needed and not finding.ok for finding in findings):
        sys.exit(1)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")], project: ProjectOption = "default"
) -> None:
    """Make a key and print it, this once."""
    settings = Settings()

    async def create(db: Database) -> str:
        async with db.transaction() as session:
            owner = await projects.ensure(session, project)
            _, key = await api_keys.create(session, owner.id, name, api_keys.pepper(settings))
            return key

    print(run(with_database(settings, create)))


@keys.command("list")
def list_keys() -> None:
    """Show every key's id, project and state; never the key."""

    async def read(db: Database) -> list[tuple[ApiKey, Project]]:
        async with db.snapshot() as session:
            statement = select(ApiKey, Project).join(Project, Project.id == ApiKey.project_id)
            rows = await session.execute(statement.order_by(ApiKey.created_at))
            return [(key, project) for key, project in rows]

    table = Table("id", "project", "name", "key", "created", "state", box=None)
    for key, project in run(with_database(Settings(), read)):
        state = f"revoked {day(key.revoked_at)}" if key.revoked_at else "live"
        table.add_row(key.id, project.name, key.name, f"{key.hint}…", day(key.created_at), state)
    console.print(table)


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `fettle keys list` shows it.")]) -> None:
    """Make a key useless at once."""

    async def revoke(db: Database) -> None:
        async with db.transaction() as session:
            await api_keys.revoke(session, key_id)

    run(with_database(Settings(), revoke))
    console.print(f"{key_id} revoked")


@jobs.command("list")
def list_jobs(limit: Annotated[int, typer.Option(min=1, max=100)] = 20) -> None:
    """The newest jobs."""
    table = Table("id", "status", "base model", "created", "tuned model", box=None)
    for job in Client(Settings()).get("/v1/fine_tuning/jobs", limit=limit)["data"]:
        created = time.strftime("%Y-%m-%d %H:%M", time.localtime(job["created_at"]))
        table.add_row(job["id"], job["status"], job["model"], created, job["fine_tuned_model"] or "")
    console.print(table)


@jobs.command("watch")
def watch(job_id: Annotated[str, typer.Argument(help="As `fettle jobs list` shows it.")]) -> None:
    """Follow a job to its end: messages, a progress bar, the loss. Exits 1 unless it succeeds."""
    client = Client(Settings())
    watch_job(client.events(job_id), console)
    job = client.get(f"/v1/fine_tuning/jobs/{job_id}")
    console.print(f"{job['status']}  {job['fine_tuned_model'] or ''}")
    if job["status"] != "succeeded":
        sys.exit(1)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def with_database(settings: Settings, work: Any) -> Any:
    db = Database(settings.database)
    try:
        return await work(db)
    finally:
        await db.close()


def day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
