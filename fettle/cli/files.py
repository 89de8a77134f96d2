"""`fettle files`: datasets on the server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.text import Text

from fettle.cli import tables
from fettle.cli.client import Client
from fettle.cli.job_results import bar
from fettle.cli.terminal import AsJson, console, example, moment, plain, say, show_json
from fettle.errors import InvalidRequest
from fettle.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Dataset files: upload, list, show, download, delete.")

FileId = Annotated[str, typer.Argument(help="The file's id. `fettle files list` shows it.")]
Problems = Annotated[int, typer.Option("--limit", min=1, max=50, help="How many problems to show; all are counted.")]
SOME = 20  # problems
HUB_FILES = ("state.json", "dataset_info.json", "dataset_dict.json")


@app.command(epilog=example("fettle files upload train.jsonl"))
def upload(
    file: Annotated[Path, typer.Argument(help="JSONL, CSV or Parquet.")],
    limit: Problems = SOME,
    as_json: AsJson = False,
) -> None:
    """Upload a dataset and show what is wrong with it. Exits with 1 when it cannot be trained on."""
    found = send(Client(Settings()), file)
    if as_json:
        show_json(found)
    else:
        show_report(found, limit)
    if found["status"] == "error":
        sys.exit(1)


def send(client: Client, file: Path, purpose: str = "fine-tune") -> dict[str, Any]:
    """The uploaded file's object. Raises InvalidRequest when there is no such file here."""
    with opened(file) as content, bar() as progress:
        size = file.stat().st_size
        with progress.wrap_file(content, total=size, description="uploading") as watched:
            return client.upload(watched, file.name, purpose)


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    if file.is_dir():
        raise InvalidRequest(of_folder(file))
    try:
        content = file.open("rb")
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}.") from error
    with content:
        yield content


def of_folder(folder: Path) -> str:
    """What to send in the place of a folder."""
    if any((folder / name).is_file() for name in HUB_FILES):
        split = "['train']" if (folder / "dataset_dict.json").is_file() else ""
        return (
            f"{folder} is a folder of Hugging Face's save_to_disk. Write its rows, and send that file: "
            f"datasets.load_from_disk({str(folder)!r}){split}.to_json('train.jsonl')"
        )
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    there = f"It has {', '.join(names[:3])}{', …' if len(names) > 3 else ''}. " if names else "It is empty. "
    return f"{folder} is a folder. {there}Name one file with rows: JSONL, CSV or Parquet."


def show_report(file: dict[str, Any], limit: int) -> None:
    """The id, what the file holds, and every problem with its line and the way out."""
    report = file["validation"] or {}
    say(plain(f"{file['id']}  {file['filename']}", "bold"))
    known = f"{report.get('rows', 0):,} rows, {report.get('format')}, {report.get('shape') or 'unknown shape'}"
    if file["status"] != "error":
        say(Text("✓ ", "green") + plain(known))
        show_quality(report.get("quality"), shown=5)
        return
    problems, count = report.get("errors", []), report.get("error_count", 0)
    for problem in problems[:limit]:
        place = f"line {problem['line']}" + (f", {problem['path']}" if problem["path"] else "")
        say(Text("✗ ", "red") + plain(f"{place}: {problem['message']} ") + plain(problem["fix"], "dim"))
    if count > len(problems[:limit]):
        shown = f"{len(problems[:limit])} of {count:,} problems are shown."
        more = " Use --limit 50 to see more." if len(problems) > limit else ""
        say(plain(shown + more, "dim"))


def show_quality(quality: dict[str, Any] | None, shown: int) -> None:
    """What may make training worse, with the first lines. shown: lines of each."""
    for found in (quality or {}).get("findings", []):
        lines = ", ".join(map(str, found["lines"][:shown])) + (", …" if found["rows"] > shown else "")
        place = f" ({'lines' if len(found['lines']) > 1 else 'line'} {lines})" if found["lines"] else ""
        say(Text("! ", "yellow") + plain(f"{found['message']}{place} ") + plain(found["fix"], "dim"))


@app.command("list", epilog=example("fettle files list"))
def show_all(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest files."""
    found = Client(Settings()).pages("/v1/files", limit)
    if as_json:
        show_json({"object": "list", "data": found})
        return
    tables.show(
        ("id", "status", "rows", "bytes", "created", "shape", "name"),
        [
            (
                file["id"],
                file["status"],
                f"{(file['validation'] or {}).get('rows', 0):,}",
                f"{file['bytes']:,}",
                moment(file["created_at"]),
                (file["validation"] or {}).get("shape") or "",
                file["filename"],
            )
            for file in found
        ],
        nothing="There are no files yet. Upload one: fettle files upload train.jsonl",
    )


@app.command(epilog=example("fettle files show file-abc123 --limit 50"))
def show(file_id: FileId, limit: Problems = SOME, as_json: AsJson = False) -> None:
    """Show a file's report: its rows and shape, and every problem with line and fix."""
    found = Client(Settings()).get(f"/v1/files/{file_id}")
    if as_json:
        show_json(found)
    else:
        show_report(found, limit)


@app.command(epilog=example("fettle files download file-abc123 --to train.jsonl"))
def download(
    file_id: FileId,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="New; unset: the name it was uploaded with.")] = None,
) -> None:
    """Download a file as it was uploaded."""
    client = Client(Settings())
    found = client.get(f"/v1/files/{file_id}")
    target = to or Path(Path(found["filename"]).name)
    if target.exists():
        raise InvalidRequest(f"{target} exists. Choose another name: --to FILE")
    with bar() as progress:
        task = progress.add_task("downloading", total=found["bytes"])
        client.download(f"/v1/files/{file_id}/content", target, {}, lambda size: progress.advance(task, size))
    console.print(plain(f"{target}  {target.stat().st_size:,} bytes"), soft_wrap=True, highlight=False)


@app.command(epilog=example("fettle files delete file-abc123"))
def delete(file_id: FileId, as_json: AsJson = False) -> None:
    """Delete a file that no unfinished job uses."""
    done = Client(Settings()).delete(f"/v1/files/{file_id}")
    if as_json:
        show_json(done)
    else:
        console.print(plain(f"{file_id} deleted"), soft_wrap=True)
