"""What a person looks at before a job: its dataset as it would be trained on, its rewards, and what it would take.

The commands import what they need themselves: `fettle jobs` shall not wait for it.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fettle.cli import train
from fettle.cli.terminal import AsJson, console, show_json
from fettle.settings import Settings


def preview(
    file: Annotated[str, typer.Argument(help="A dataset on this machine, or the id of an uploaded file.")],
    model: Annotated[
        str, typer.Option(help="Base model, its alias or a tuned model: whose template is used.")
    ] = "starter",
    rows: Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")] = 3,
    offset: Annotated[int, typer.Option(min=0, help="Number of rows to skip.")] = 0,
    max_seq_length: Annotated[
        int | None, typer.Option(min=16, help="Count the rows that are longer; unset: what a job would take.")
    ] = None,
    quality: Annotated[
        bool, typer.Option("--quality", help="Show duplicates, conflicts, likely secrets and more.")
    ] = False,
    valid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --quality: a validation file to compare with.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a dataset as a job would train on it, with the learned text highlighted."""
    from fettle.cli import quality_view, token_view

    path, settings = Path(file), Settings()
    if quality:
        found = quality_view.of(file, valid, settings)
        if as_json:
            show_json(found)
        else:
            quality_view.show(found)
        return
    if path.is_file() or not file.startswith("file-"):
        seen = token_view.of_path(path, model, settings, limit=rows, offset=offset, max_seq_length=max_seq_length)
    else:
        from fettle.cli.client import Client

        query = {"model": model, "limit": rows, "offset": offset, "max_seq_length": max_seq_length}
        sent = {name: value for name, value in query.items() if value is not None}
        seen = Client(settings).get(f"/v1/files/{file}/preview", **sent)
    if as_json:
        show_json(seen)
    else:
        token_view.show(seen, console)


def dry_run(
    file: Annotated[str, typer.Argument(help="The body of POST /v1/fine_tuning/jobs, in a JSON file.")],
    prompts: Annotated[int | None, typer.Option(min=1, help="How many of the training file; unset: 8.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=2, help="Completions of each; unset: the job's group_size.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try a reinforcement job's rewards before you create it. Exits 1 if there are warnings."""
    from fettle.cli import dry_run_view
    from fettle.cli.client import Client

    counts = {"prompts": prompts, "samples": samples}
    body = train.read_body(Path(file)) | {name: count for name, count in counts.items() if count is not None}
    found = Client(Settings()).post("/v1/fine_tuning/dry_runs", body)
    if as_json:
        show_json(found)
    else:
        dry_run_view.show(found, console)
    if found["warnings"]:
        sys.exit(1)


def estimate(
    file: Annotated[str, typer.Argument(help="The body of POST /v1/fine_tuning/jobs, in a JSON file.")],
    as_json: AsJson = False,
) -> None:
    """Say what a job would take: steps, memory, time and cost. Exits 1 if it does not fit in memory."""
    from fettle.cli import estimate_view
    from fettle.cli.client import Client

    found = Client(Settings()).post("/v1/fine_tuning/estimate", train.read_body(Path(file)))
    if as_json:
        show_json(found)
    else:
        estimate_view.show(found, console)
    if found["memory"]["fits"] is False:
        sys.exit(1)
