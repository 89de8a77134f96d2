"""`fettle jobs`: asks the API, with the key of FETTLE_API_KEY or the data folder."""

import sys
from typing import Annotated, Any

import typer
from rich.table import Table

from fettle.cli.terminal import console, moment, plain, uncut
from fettle.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Jobs (asks the API; key from FETTLE_API_KEY or the data folder).")

JobId = Annotated[str, typer.Argument(help="The job's id. `fettle jobs list` shows it.")]


@app.command("list")
def show(limit: Annotated[int, typer.Option(min=1, max=100)] = 20) -> None:
    """The newest jobs."""
    from fettle.cli.client import Client

    table = Table("id", "status", "method", "base model", "created", "tuned model", box=None)
    for job in Client(Settings()).get("/v1/fine_tuning/jobs", limit=limit)["data"]:
        tuned = job["fine_tuned_model"] or ""
        row = (job["id"], job["status"], job["method"]["type"], job["model"], moment(job["created_at"]), tuned)
        table.add_row(*(plain(cell) for cell in row))
    uncut.print(table)


@app.command()
def watch(job_id: JobId) -> None:
    """Follow a job to its end: messages, a progress bar, the loss. Exits 1 unless it succeeds."""
    from fettle.cli import job_progress
    from fettle.cli.client import Client

    client = Client(Settings())
    job_progress.watch(client.events(job_id), console)
    job = client.get(f"/v1/fine_tuning/jobs/{job_id}")
    say(job)
    if job["status"] != "succeeded":
        sys.exit(1)


@app.command()
def pause(job_id: JobId) -> None:
    """Ask a job to save a checkpoint and stop; `resume` continues exactly from there."""
    job = ask(job_id, "pause")
    if job["status"] == "running":
        console.print("The job pauses when its checkpoint is saved. Follow it with `fettle jobs watch`.", style="dim")


@app.command()
def resume(job_id: JobId) -> None:
    """Put a paused job back in the queue."""
    ask(job_id, "resume")


@app.command()
def cancel(job_id: JobId) -> None:
    """Cancel a job; its checkpoints stay."""
    ask(job_id, "cancel")


def ask(job_id: str, verb: str) -> dict[str, Any]:
    from fettle.cli.client import Client

    job: dict[str, Any] = Client(Settings()).post(f"/v1/fine_tuning/jobs/{job_id}/{verb}")
    say(job)
    return job


def say(job: dict[str, Any]) -> None:
    console.print(plain(f"{job['status']}  {job['fine_tuned_model'] or ''}".rstrip()), highlight=False)
