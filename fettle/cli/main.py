"""The `fettle` command. Every subcommand reads the same `FETTLE_*` settings.

Commands import what they need themselves: `fettle api` shall not wait for alembic, nor `fettle jobs` for SQLAlchemy.
"""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from rich.table import Table

from fettle.cli import jobs, keys, projects
from fettle.cli.terminal import console, plain, with_database
from fettle.errors import FettleError, InvalidRequest
from fettle.host import users
from fettle.settings import Settings, invalid_setting

if TYPE_CHECKING:
    from pathlib import Path

    from fettle.db import Database

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Self-hosted fine-tuning as a service.")
app.add_typer(keys.app, name="keys")
app.add_typer(projects.app, name="projects")
app.add_typer(jobs.app, name="jobs")


def main() -> None:
    """Errors that a person can fix come as one sentence, without a traceback."""
    users.conceal()
    try:
        app()
    except ValidationError as error:
        fail(invalid_setting(error))
    except SettingsError as error:
        fail(f"{error}: it must be a JSON object, as docs/configuration.md shows.")
    except FettleError as error:
        fail(error.message)
    except OSError as error:
        fail(f"{type(error).__name__}: {error}. `fettle doctor` checks every part.")


def fail(message: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print("[red]error[/]", plain(message))
    sys.exit(1)


@app.command()
def up() -> None:
    """Run everything on this machine: API, worker, engine, Redis; SQLite and files under FETTLE_DATA."""
    from fettle.cli.up import run

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
def vllm_agent() -> None:
    """Run the agent that lets a vLLM server replace the engine."""
    become("worker.vllm")


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

    async def upgrade(db: "Database") -> tuple[str | None, str | None]:
        before, newest = await migrations.revisions(db)
        await migrations.upgrade(db)
        return before, newest

    before, after = with_database(settings, upgrade)
    console.print(f"schema {after}" + (" (unchanged)" if before == after else f" (was {before or 'empty'})"))


@app.command()
def doctor() -> None:
    """Check every part of Fettle and say how to fix what fails."""
    from fettle.cli.doctor.checks import examine

    results = asyncio.run(examine(Settings()))
    table = Table(box=None, show_header=False, pad_edge=False)
    for result in results:
        sign = "[green]✓[/]" if result.ok else ("[red]✗[/]" if result.needed else "[yellow]![/]")
        table.add_row(sign, result.part, plain(result.message))
    console.print(table)
    broken = [result.part for result in results if result.needed and not result.ok]
    warnings = sum(not result.ok for result in results) - len(broken)
    console.print(f"[red]Fix: {', '.join(broken)}[/]" if broken else "[green]ready[/]", f"({warnings} warnings)")
    if broken:
        sys.exit(1)


@app.command()
def preview(
    file: Annotated[str, typer.Argument(help="A dataset on this machine, or the id of an uploaded file.")],
    model: Annotated[
        str, typer.Option(help="Base model, its alias or a tuned model: whose template is used.")
    ] = "starter",
    rows: Annotated[int, typer.Option(min=1, max=50)] = 3,
    max_seq_length: Annotated[int | None, typer.Option(min=16, help="Count the rows that are longer.")] = None,
) -> None:
    """Show a dataset as a job would train on it, with the learned text highlighted."""
    from pathlib import Path

    from fettle.cli import token_view

    path, settings = Path(file), Settings()
    if path.is_file() or not file.startswith("file-"):
        seen = token_view.of_path(path, model, settings, limit=rows, max_seq_length=max_seq_length)
    else:
        from fettle.cli.client import Client

        query = {"model": model, "limit": rows, "max_seq_length": max_seq_length}
        sent = {name: value for name, value in query.items() if value is not None}
        seen = Client(settings).get(f"/v1/files/{file}/preview", **sent)
    token_view.show(seen, console)


@app.command()
def dry_run(
    file: Annotated[str, typer.Argument(help="The body of POST /v1/fine_tuning/jobs, in a JSON file.")],
    prompts: Annotated[int | None, typer.Option(min=1, help="How many of the training file; unset: 8.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=2, help="Completions of each; unset: the job's group_size.")
    ] = None,
) -> None:
    """Try a reinforcement job's rewards before you create it. Exits 1 if there are warnings."""
    from pathlib import Path

    from fettle.cli import dry_run_view
    from fettle.cli.client import Client

    counts = {"prompts": prompts, "samples": samples}
    body = job_body(Path(file)) | {name: count for name, count in counts.items() if count is not None}
    found = Client(Settings()).post("/v1/fine_tuning/dry_runs", body)
    dry_run_view.show(found, console)
    if found["warnings"]:
        sys.exit(1)


@app.command()
def estimate(
    file: Annotated[str, typer.Argument(help="The body of POST /v1/fine_tuning/jobs, in a JSON file.")],
) -> None:
    """Say what a job would take: steps, memory, time and cost. Exits 1 if it does not fit in memory."""
    from pathlib import Path

    from fettle.cli import estimate_view
    from fettle.cli.client import Client

    found = Client(Settings()).post("/v1/fine_tuning/estimate", job_body(Path(file)))
    estimate_view.show(found, console)
    if found["memory"]["fits"] is False:
        sys.exit(1)


def job_body(file: "Path") -> dict[str, object]:
    """Raises InvalidRequest for what cannot be read, or is no JSON object."""
    import json

    try:
        body = json.loads(file.read_text())
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidRequest(f"{file} is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise InvalidRequest(f"{file} does not contain a JSON object. It must be the body of a job.")
    return body
