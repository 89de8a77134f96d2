"""`fettle jobs`: asks the API."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fettle.cli import tables
from fettle.cli.terminal import AsJson, console, example, moment, plain, say, show_json
from fettle.errors import Unavailable
from fettle.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Jobs: list, follow, pause, resume, cancel, download.")

JobId = Annotated[str, typer.Argument(help="The job's id. `fettle jobs list` shows it.")]
JOBS = "/v1/fine_tuning/jobs"
NOT_SUCCEEDED = 4  # exit code: the job ended in another way
STOPPED = 130  # exit code: Ctrl-C


@app.command("list", epilog=example("fettle jobs list --limit 5", "fettle jobs list --json | jq -r '.data[].id'"))
def show_all(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""
    from fettle.cli.client import Client

    found = Client(Settings()).pages(JOBS, limit)
    if as_json:
        show_json({"object": "list", "data": found})
        return
    tables.show(
        ("id", "status", "method", "base model", "created", "tuned model"),
        [
            (
                job["id"],
                job["status"],
                job["method"]["type"],
                job["model"],
                moment(job["created_at"]),
                job["fine_tuned_model"] or "",
            )
            for job in found
        ],
        nothing="There are no jobs yet. Create one: fettle train train.jsonl --base starter",
    )


@app.command("show", epilog=example("fettle jobs show ftjob-abc123"))
def show(job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job: its state, why it waits and its place in the queue, its settings and results."""
    from fettle.cli import job_view
    from fettle.cli.client import Client

    client = Client(Settings())
    job = client.get(f"{JOBS}/{job_id}")
    if as_json:
        show_json(job)
    else:
        job_view.show(client, job)


@app.command(epilog=example("fettle jobs watch ftjob-abc123 && echo done"))
def watch(job_id: JobId) -> None:
    """Follow a job to its end: messages, a progress bar, the loss. Exits with 4 unless the job succeeds."""
    from fettle.cli.client import Client

    follow(Client(Settings()), job_id)


def follow(client: Any, job_id: str) -> dict[str, Any]:
    """The job once it has succeeded; otherwise the process ends. Ctrl-C stops the watching and not the job."""
    from fettle.cli import job_progress

    try:
        job_progress.watch(client.events(job_id), console)
        job: dict[str, Any] = client.get(f"{JOBS}/{job_id}")
    except KeyboardInterrupt:
        console.print(plain(f"\nThe job continues. Follow it again: fettle jobs watch {job_id}"), soft_wrap=True)
        sys.exit(STOPPED)
    except Unavailable as away:
        way_back = f"The job continues when the server is back. Follow it again: fettle jobs watch {job_id}"
        raise Unavailable(f"{away.message} {way_back}") from away
    say_state(job)
    if job["status"] != "succeeded":
        sys.exit(NOT_SUCCEEDED)
    return job


@app.command(epilog=example("fettle jobs pause ftjob-abc123"))
def pause(job_id: JobId, as_json: AsJson = False) -> None:
    """Ask a job to save a checkpoint and stop; `resume` continues exactly from there."""
    job = ask(job_id, "pause", as_json)
    if job["status"] == "running" and not as_json:
        console.print("The job pauses when its checkpoint is saved. Follow it with `fettle jobs watch`.", style="dim")


@app.command(epilog=example("fettle jobs resume ftjob-abc123"))
def resume(job_id: JobId, as_json: AsJson = False) -> None:
    """Put a paused job back in the queue, or a failed one that can continue from its checkpoint."""
    ask(job_id, "resume", as_json)


@app.command(epilog=example("fettle jobs cancel ftjob-abc123"))
def cancel(job_id: JobId, as_json: AsJson = False) -> None:
    """Cancel a job; its checkpoints stay."""
    ask(job_id, "cancel", as_json)


@app.command(
    epilog=example("fettle jobs report ftjob-abc123", "fettle jobs report ftjob-abc123 --format markdown --to job.md")
)
def report(
    job_id: JobId,
    format: Annotated[str, typer.Option(help="html or markdown.")] = "html",
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Unset: named after the job, in this folder.")] = None,
) -> None:
    """Save a report of an ended job: one file with data, settings, curves, evaluation, cost, proof and hashes."""
    from fettle.cli.client import Client

    path = to or Path(f"{job_id}.{'md' if format == 'markdown' else format}")
    Client(Settings()).download(f"{JOBS}/{job_id}/report", path, {"format": format})
    console.print(plain(str(path)), highlight=False, soft_wrap=True)


def ask(job_id: str, verb: str, as_json: bool) -> dict[str, Any]:
    from fettle.cli.client import Client

    job: dict[str, Any] = Client(Settings()).post(f"{JOBS}/{job_id}/{verb}")
    if as_json:
        show_json(job)
    else:
        say_state(job)
    return job


def say_state(job: dict[str, Any]) -> None:
    say(plain(f"{job['status']}  {job['fine_tuned_model'] or ''}".rstrip()))
