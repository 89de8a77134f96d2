"""`fettle models upload`, `pull` and `download`: LoRA adapters that were made elsewhere, and ours on their way out."""

import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from fettle.cli import files, model_check
from fettle.cli.client import Client
from fettle.cli.job_results import fetch, show_files
from fettle.cli.terminal import AsJson, console, plain, say, show_json
from fettle.errors import InvalidRequest
from fettle.registry import hub
from fettle.settings import Settings

ROUTE = "/v1/fine_tuning/adapters"
ADAPTER = (hub.CONFIG, hub.WEIGHTS)
TEMPLATE = "chat_template.jinja"  # looked at, to say when it is not the base model's

Base = Annotated[str, typer.Option("--base", help="The base model here that the adapter was trained on.")]
Suffix = Annotated[str | None, typer.Option(help="Part of the tuned model's name.")]
Check = Annotated[bool, typer.Option(help="Let it answer a question.")]


def upload(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="As PEFT's save_pretrained wrote it, or a zip.")],
    base: Base,
    suffix: Suffix = None,
    check: Check = True,
    as_json: AsJson = False,
) -> None:
    """Serve a LoRA adapter that was trained elsewhere. Then chat with it, evaluate it, or continue training it.

    The server compares it with the base model: its configuration, layers, shapes and numbers. Then the model is asked
    a question. Exits with 1 if it does not answer.
    """
    send(Client(Settings()), source, base, suffix, check=check, as_json=as_json)


def pull(
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="An adapter on the Hugging Face hub.")],
    base: Base,
    revision: Annotated[str | None, typer.Option(help="A commit, a tag or a branch; unset: the newest.")] = None,
    suffix: Suffix = None,
    check: Check = True,
    as_json: AsJson = False,
) -> None:
    """Fetch a LoRA adapter from the Hugging Face hub to this machine, and upload it as `upload` does.

    HF_ENDPOINT names another hub, and FETTLE_HF_TOKEN opens private repositories.
    """
    settings = Settings()
    with tempfile.TemporaryDirectory(prefix="fettle-") as scratch:
        commit = hub.pull(repository, revision, Path(scratch), (*ADAPTER, TEMPLATE), settings.hf_token)
        if not as_json:
            say(plain(f"{repository} at {commit}", "dim"))
        send(Client(settings), Path(scratch), base, suffix, check=check, as_json=as_json)


def send(client: Client, source: Path, base: str, suffix: str | None, *, check: bool, as_json: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="fettle-") as scratch:
        archive = source if source.is_file() else zipped(source, Path(scratch) / "adapter.zip")
        file = files.send(client, archive, purpose="user_data")
    try:
        body = {"files": [file["id"]], "base_model": base, **({"suffix": suffix} if suffix else {})}
        made = client.post(ROUTE, body)
    finally:
        client.delete(f"/v1/files/{file['id']}")
    results = model_check.answer(client, made["id"]) if check and made["kind"] == "chat" else []
    if as_json:
        show_json({**made, "checks": [{"check": each.name, "ok": each.ok, "message": each.said} for each in results]})
    else:
        describe(made, results)
    if not all(each.ok for each in results if each.name == "answers"):
        raise typer.Exit(1)


def describe(made: dict[str, Any], results: list[model_check.Result]) -> None:
    known = made["adapter"]
    console.print(plain(made["id"], "bold"), soft_wrap=True)
    figures = f"rank {known['rank']}, {known['layers']} layers, {known['parameters']:,} parameters"
    say(Text("✓ ", "green") + plain(f"It fits {known['base_model']}: {figures}."))
    if known["left_out"]:
        say(plain(f"Not used: {', '.join(known['left_out'])}", "dim"))
    for note in known["notes"]:
        say(Text("! ", "yellow") + plain(note))
    model_check.show(results)
    console.print(plain(f"fettle chat {made['id']}", "dim"), soft_wrap=True)


def zipped(folder: Path, archive: Path) -> Path:
    """What the server looks at; a file that is missing is the server's to say. Raises InvalidRequest."""
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} does not exist. Name the folder that PEFT's save_pretrained wrote, or a zip.")
    there = [path for path in sorted(folder.iterdir()) if path.is_file()]
    with zipfile.ZipFile(archive, "w") as out:
        for path in there:
            if path.name in (*ADAPTER, TEMPLATE):
                out.write(path, path.name)
            elif path.name == "adapter_model.bin":
                out.writestr(path.name, b"")  # a pickle never leaves this machine
    return archive


def download(
    name: Annotated[str, typer.Argument(help="A tuned model or a checkpoint: ft:…")],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="New, or empty.")],
    as_json: AsJson = False,
) -> None:
    """Download the LoRA adapter of a tuned model or a checkpoint. Every file is checked."""
    show_files(fetch(Client(Settings()), f"{ROUTE}/{name}", to), as_json)
