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
from rich.text import Text

from fettle import __version__
from fettle.cli import (
    adapters,
    audit,
    backup,
    chat,
    files,
    health,
    help_types,
    imports,
    job_results,
    jobs,
    keys,
    login,
    models,
    preflight,
    projects,
    rewards,
    train,
    webhooks,
)
from fettle.cli.terminal import AsJson, console, example, plain, say, show_json, with_database
from fettle.errors import FettleError, Unavailable
from fettle.host import users
from fettle.settings import Settings, invalid_setting
from fettle.wording import quantity

if TYPE_CHECKING:
    from fettle.db import Database

REFUSED, AWAY = 1, 3  # exit codes; 2: wrong usage, 4: a job did not succeed, 130: Ctrl-C

help_types.install()
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Self-hosted fine-tuning as a service.",
    epilog=example("fettle up --detach", "fettle train train.jsonl --base starter --watch", "fettle chat starter"),
)


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=lambda asked: show_version(asked), is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Self-hosted fine-tuning as a service."""


def show_version(asked: bool) -> None:
    if asked:
        print(f"fettle {__version__}")
        raise typer.Exit


app.command(
    epilog=example(
        "fettle train train.jsonl --base starter --watch",
        "fettle train pairs.jsonl --base starter --method dpo --epochs 1 --set beta=0.2",
        "fettle train prompts.jsonl --base starter --reward answer_correct --reward think_format=0.2 --chat",
    )
)(train.train)
app.command(epilog=example("fettle chat starter", "fettle chat starter 'What is 2 + 3?' --temperature 0"))(chat.chat)
app.add_typer(files.app, name="files")
jobs.app.command(
    epilog=example(
        "fettle jobs download ftjob-abc123 --to my-adapter", "fettle jobs download ftjob-abc123 --everything"
    )
)(job_results.download)
jobs.app.command(
    epilog=example(
        "fettle jobs rollouts ftjob-abc123 --sort=-reward --limit 3",
        "fettle jobs rollouts ftjob-abc123 --to pairs.jsonl --format dpo",
    )
)(job_results.rollouts)
app.add_typer(jobs.app, name="jobs")
models.app.command(epilog=example("fettle models upload my-adapter --base starter"))(adapters.upload)
models.app.command(epilog=example("fettle models pull ann/shop-lora --base qwen3-0.6b"))(adapters.pull)
models.app.command(
    epilog=example("fettle models download ft:starter:default:mine:abc123 --to my-adapter"),
)(adapters.download)
app.add_typer(models.app, name="models")
app.add_typer(rewards.app, name="rewards")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(imports.app, name="import")
app.command(epilog=example("fettle login https://fettle.example.com"))(login.login)
app.command(epilog=example("fettle logout"))(login.logout)
app.add_typer(keys.app, name="keys")
app.add_typer(projects.app, name="projects")
app.command("backup", epilog=example("fettle backup /backups/fettle"))(backup.back_up)
app.command("restore", epilog=example("fettle restore /backups/fettle --check", "fettle restore /backups/fettle"))(
    backup.restore
)
app.command("audit", epilog=example("fettle audit --limit 20", "fettle audit --jsonl > audit.jsonl"))(audit.show)


def main() -> None:
    """Errors that a person can fix come as one sentence, without a traceback."""
    users.conceal()
    try:
        app(prog_name="fettle")
    except ValidationError as error:
        fail(invalid_setting(error))
    except SettingsError as error:
        fail(f"{error}: it must be a JSON object, as docs/configuration.md shows.")
    except Unavailable as error:
        fail(error.message, AWAY)
    except FettleError as error:
        fail(error.message)
    except OSError as error:
        fail(f"{type(error).__name__}: {error}. `fettle doctor` checks every part.")


def fail(message: str, code: int = REFUSED) -> None:
    say(Text("error ", "red") + plain(message), Console(stderr=True))
    sys.exit(code)


@app.command(epilog=example("fettle up", "FETTLE_PORT=9000 fettle up --detach"))
def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once Fettle is ready; `fettle down` stops it.")
    ] = False,
    link: Annotated[
        bool, typer.Option(help="Print a link that signs a browser in. Use --no-link where output is logged.")
    ] = True,
) -> None:
    """Run everything on this machine: API, worker, engine, Redis; SQLite and files under FETTLE_DATA."""
    if detach:
        from fettle.cli import detached

        detached.start(Settings())
        return
    from fettle.cli.up import run

    run(Settings(), with_link=link)


@app.command("console", epilog=example("fettle console"))
def console_link() -> None:
    """Print a link that signs a browser in to the console once."""
    from fettle.cli import sign_in
    from fettle.tenancy import sessions

    settings = Settings()
    sign_in.check_page(settings)
    link = asyncio.run(sign_in.make_link(settings))
    console.print(link, highlight=False, soft_wrap=True)
    console.print(f"[dim]It works once, within {sessions.LINK_SECONDS // 60} minutes.[/]")


@app.command(epilog=example("fettle down"))
def down() -> None:
    """Stop the `fettle up` that uses FETTLE_DATA. A running job saves a checkpoint first."""
    from fettle.cli import detached

    detached.stop(Settings())


@app.command(epilog=example("fettle api"))
def api() -> None:
    """Run the HTTP API (no torch)."""
    become("api")


@app.command(epilog=example("FETTLE_SLOTS=2 fettle worker", "fettle worker --once --job ftjob-abc123"))
def worker(
    once: Annotated[bool, typer.Option("--once", help="Train one job if one is waiting, then exit.")] = False,
    job: Annotated[str | None, typer.Option(metavar="JOB", help="With --once: run only this job.")] = None,
) -> None:
    """Run a worker: claims jobs and trains them."""
    if job is not None and not once:
        raise typer.BadParameter("--job works only with --once. Add --once.", param_hint="--job")
    become("worker", *(["--once"] if once else []), *(["--job", job] if job else []))


app.command("health", epilog=example("fettle health"))(health.check)


@app.command(epilog=example("fettle engine"))
def engine() -> None:
    """Run the inference engine: serves base models and adapters."""
    become("worker.engine")


@app.command(epilog=example("FETTLE_VLLM_URL=http://127.0.0.1:8002 fettle vllm-agent"))
def vllm_agent() -> None:
    """Run the agent that lets a vLLM server replace the engine."""
    become("worker.vllm")


@app.command(
    epilog=example(
        "fettle export ft:starter:default:mine:abc123 --to merged",
        "fettle export ft:starter:default:mine:abc123 --to merged --format gguf",
    )
)
def export(
    name: Annotated[str, typer.Argument(help="A tuned model or a checkpoint: ft:…")],
    to: Annotated[str, typer.Option(metavar="FOLDER", help="New, or empty.")],
    dtype: Annotated[str | None, typer.Option(help="bf16 or fp32; unset: the base model's.")] = None,
    form: Annotated[
        str, typer.Option("--format", help="safetensors, or gguf for llama.cpp and Ollama, with a Modelfile.")
    ] = "safetensors",
    push: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME", help="Also push to this repository on the Hugging Face hub. Needs FETTLE_HF_TOKEN."
        ),
    ] = None,
) -> None:
    """Merge a tuned model into its base: an ordinary model in a folder (loads torch)."""
    options = [*(["--dtype", dtype] if dtype else []), *(["--push", push] if push else [])]
    become("worker.export", name, "--to", to, "--format", form, *options)


def become(module: str, *arguments: str) -> None:
    """This process turns into the module's, so that signals reach it. A bad setting is said here, in one sentence."""
    Settings()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 — our own interpreter and module


@app.command(epilog=example("fettle migrate"))
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


@app.command(epilog=example("fettle doctor"))
def doctor(as_json: AsJson = False) -> None:
    """Check every part of Fettle and say how to fix what fails."""
    from dataclasses import asdict

    from fettle.cli.doctor.checks import examine

    results = asyncio.run(examine(Settings()))
    broken = [result.part for result in results if result.needed and not result.ok]
    if as_json:
        show_json([asdict(result) for result in results])
        sys.exit(1 if broken else 0)
    table = Table(box=None, show_header=False, pad_edge=False)
    for result in results:
        sign = "[green]✓[/]" if result.ok else ("[red]✗[/]" if result.needed else "[yellow]![/]")
        table.add_row(sign, result.part, plain(result.message))
    console.print(table)
    warnings = sum(not result.ok for result in results) - len(broken)
    console.print(
        f"[red]Fix: {', '.join(broken)}[/]" if broken else "[green]ready[/]", f"({quantity(warnings, 'warning')})"
    )
    if broken:
        sys.exit(1)


app.command(
    epilog=example(
        "fettle preview train.jsonl --model starter --rows 5",
        "fettle preview train.jsonl --quality --valid valid.jsonl",
    )
)(preflight.preview)
app.command(epilog=example("fettle dry-run job.json --prompts 4"))(preflight.dry_run)
app.command(epilog=example("fettle estimate job.json", "fettle estimate job.json --json | jq .seconds.likely"))(
    preflight.estimate
)
