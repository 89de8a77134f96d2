"""`fettle jobs download` and `rollouts`: what a job leaves."""

import hashlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from fettle.cli.client import Client
from fettle.cli.jobs import JOBS, JobId
from fettle.cli.terminal import AsJson, console, figure, plain, printable, say, show_json
from fettle.errors import InvalidRequest
from fettle.settings import Settings

SHOWN = 600  # characters of a completion
LISTED = 10


def bar() -> Progress:
    """Of bytes; it disappears when they are there."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def download(
    job_id: JobId,
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="New, or empty; unset: the job's id.")] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Also download checkpoint adapters, result files and the report.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download a job's LoRA adapter into a folder that PEFT, transformers and vLLM read. Every file is checked.

    With --everything the folder has adapter/, checkpoints/step-N/, results/ and report.html.
    """
    client, folder = Client(Settings()), to or Path(job_id)
    if not everything:
        show_files(fetch(client, f"{JOBS}/{job_id}/adapter", folder), as_json)
        return
    written = fetch_all(client, job_id, folder)
    if as_json:
        show_json({"folder": str(folder.absolute()), "files": [str(path) for path in written]})
        return
    for path in written:
        console.print(plain(f"{path}  {path.stat().st_size:,} bytes"), soft_wrap=True, highlight=False)


def fetch_all(client: Client, job_id: str, folder: Path) -> list[Path]:
    """What an ended job left, as much as there is of it. Raises InvalidRequest for a job that goes on."""
    job = client.get(f"{JOBS}/{job_id}")
    if job["finished_at"] is None:
        raise InvalidRequest(f"The job {job_id!r} is {job['status']}. Wait for its end: fettle jobs watch {job_id}")
    refuse_full(folder)
    if job["fine_tuned_model"] is not None:
        fetch(client, f"{JOBS}/{job_id}/adapter", folder / "adapter")
    for checkpoint in client.pages(f"{JOBS}/{job_id}/checkpoints", 10_000):
        path = f"/v1/fine_tuning/adapters/{checkpoint['fine_tuned_model_checkpoint']}"
        fetch(client, path, folder / "checkpoints" / f"step-{checkpoint['step_number']}")
    (folder / "results").mkdir(parents=True, exist_ok=True)
    for file_id in job["result_files"]:
        name = Path(client.get(f"/v1/files/{file_id}")["filename"]).name
        client.download(f"/v1/files/{file_id}/content", folder / "results" / name, {})
    client.download(f"{JOBS}/{job_id}/report", folder / "report.html", {})
    return sorted(path for path in folder.rglob("*") if path.is_file())


def refuse_full(folder: Path) -> None:
    """Raises InvalidRequest unless the folder is new or empty."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InvalidRequest(f"{folder} exists and is not an empty folder. Choose another: --to FOLDER")


def fetch(client: Client, path: str, folder: Path) -> dict[str, Any]:
    """The adapter that the API has at this path, into the folder; what the API says of it. Raises InvalidRequest."""
    listed = client.get(path, files="true")
    refuse_full(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fettle-") as scratch:
        archive = Path(scratch) / "adapter.zip"
        with bar() as progress:
            task = progress.add_task("downloading", total=sum(each["bytes"] for each in listed["files"]))
            client.download(path, archive, {}, lambda size: progress.advance(task, size))
        whole = unpacked(archive, Path(scratch) / "adapter", listed["files"])
        if folder.is_dir():
            folder.rmdir()
        whole.replace(folder)
    return {**listed, "folder": str(folder)}


def show_files(found: dict[str, Any], as_json: bool) -> None:
    folder = Path(found["folder"])
    if as_json:
        show_json({**found, "folder": str(folder.absolute())})
        return
    for each in found["files"]:
        console.print(plain(f"{folder / each['name']}  {each['bytes']:,} bytes"), soft_wrap=True, highlight=False)


def unpacked(archive: Path, folder: Path, files: list[dict[str, Any]]) -> Path:
    """The files that the server listed, and no others. Raises InvalidRequest for one that arrived otherwise."""
    folder.mkdir()
    with zipfile.ZipFile(archive) as found:
        for each in files:
            name = each["name"]
            if Path(name).name != name:
                raise InvalidRequest(f"The server sent a file with the name {name!r}, which is not a plain name.")
            digest = hashlib.sha256()
            with found.open(name) as source, (folder / name).open("wb") as target:
                while piece := source.read(1 << 20):
                    digest.update(piece)
                    target.write(piece)
            if digest.hexdigest() != each["sha256"]:
                raise InvalidRequest(f"{name} was damaged on the way: its sha256 differs. Download it again.")
    return folder


def rollouts(
    job_id: JobId,
    step: Annotated[int | None, typer.Option(min=1, help="Only those of this step.")] = None,
    min_reward: Annotated[float | None, typer.Option(help="Only those with this reward or more.")] = None,
    max_reward: Annotated[float | None, typer.Option(help="Only those with this reward or less.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only those that a grader failed on.")] = False,
    sort: Annotated[str, typer.Option(help="step, -step, reward or -reward; '-': the highest first.")] = "-step",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show.")] = LISTED,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all of them to a file instead.")] = None,
    form: Annotated[
        Literal["jsonl", "dpo"], typer.Option("--format", help="Of the file; dpo: best and worst of each group.")
    ] = "jsonl",
    as_json: AsJson = False,
) -> None:
    """Show the completions that a job learned from, with their rewards; or write them all to a file."""
    client, path = Client(Settings()), f"{JOBS}/{job_id}/rollouts"
    asked = {"step": step, "min_reward": min_reward, "max_reward": max_reward, "error": "true" if errors else None}
    wanted = {name: value for name, value in asked.items() if value is not None}
    if to is not None:
        client.download(f"{path}/export", to, {"format": form, **wanted})
        console.print(plain(f"{to}  {to.stat().st_size:,} bytes"), soft_wrap=True, highlight=False)
        return
    rows = client.pages(path, limit, sort=sort, **wanted)
    if as_json:
        show_json({"object": "list", "data": rows})
        return
    if not rows:
        console.print("No rollouts match.", style="dim")
    for row in rows:
        show_rollout(row)


def show_rollout(row: dict[str, Any]) -> None:
    reward = "none" if row["reward"] is None else figure(row["reward"])
    scores = ", ".join(f"{name} {figure(value)}" for name, value in (row["scores"] or {}).items() if value is not None)
    say(plain(f"step {row['step']}  reward {reward}  {scores}".rstrip(), "bold"))
    say(plain(cut(last_message(row["prompt"])), "dim"))
    for turn in row.get("turns") or [{"role": "assistant", "content": row["completion"]}]:
        for line in lines_of(turn):
            say(plain(cut(line)))
    console.print()


def lines_of(turn: dict[str, Any]) -> Iterator[str]:
    """A message after the prompt: what it says, and the tools that it calls."""
    if turn["role"] == "tool":
        yield f"Tool: {turn['content']}"
    elif turn["content"] or not turn.get("tool_calls"):
        yield str(turn["content"])
    for call in turn.get("tool_calls") or ():
        yield f"Call: {call['function']['name']} {call['function']['arguments']}"


def last_message(prompt: Any) -> str:
    return str(prompt[-1].get("content") or "") if isinstance(prompt, list) and prompt else str(prompt or "")


def cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
