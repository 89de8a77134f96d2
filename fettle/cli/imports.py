"""`fettle import`: from other places into this Fettle."""

import json
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from fettle.cli import tables
from fettle.cli.client import Client, Refused
from fettle.cli.terminal import AsJson, console, example, plain, say, show_json
from fettle.errors import FettleError
from fettle.importers import snapshot
from fettle.importers.account import Account
from fettle.importers.bases import Bases
from fettle.importers.configs import reading
from fettle.importers.folder import KINDS, Folder
from fettle.importers.report import CAME, CANNOT, CHANGE, KEPT, STAYS, Row
from fettle.importers.snapshot import Snapshot
from fettle.importers.transfer import Transfer
from fettle.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Import from OpenAI, and from configs of other tools.")

STYLES = {CAME: "green", KEPT: "dim", STAYS: "dim", CHANGE: "yellow", CANNOT: "red"}


@app.command("openai", epilog=example("fettle import openai", "fettle import openai --base gpt-4o-mini=starter --yes"))
def openai(
    base: Annotated[
        list[str],
        typer.Option("--base", metavar="[OLD=]NEW", help="The base model here for one of OpenAI's, or for all others."),
    ] = [],  # noqa: B006 — typer's way to say a default
    yes: Annotated[bool, typer.Option("--yes", help="Import. Without it, only show what would be imported.")] = False,
    fetch: Annotated[bool, typer.Option("--fetch", help="Only fill the folder; needs no Fettle server.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use the folder as it is; needs no key.")] = False,
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Holds what OpenAI returned, jobs to run here, and the state.")
    ] = Path("openai-export"),
    keep: Annotated[
        bool, typer.Option("--keep-hyperparameters", help="Keep batch_size and learning_rate_multiplier as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import files, jobs, graders and evals from OpenAI; without --yes, show what would be imported.

    OPENAI_API_KEY is the key to read with. It is neither printed nor stored. Nothing at OpenAI is changed, and no job
    is started here. A run that is interrupted continues when you repeat it. Exits with 1 if anything cannot be
    imported or needs a change.
    """
    if fetch and (yes or offline):
        raise typer.BadParameter("--fetch works alone: it only fills the folder.", param_hint="--fetch")
    target = Folder(folder)
    with console.status("", spinner="dots") as status:

        def tell(text: str) -> None:
            status.update(f"{text} …")

        if fetch or yes:
            with target.opened():
                found = fetched(target, offline, tell)
                rows = [] if fetch else transferred(target, found, base, tell, dry=False, keep=keep)
                if not fetch:
                    target.write("report.json", [row.as_json() for row in rows])
        else:
            rows = transferred(target, seen(target, offline, tell), base, tell, dry=True, keep=keep)
    if fetch:
        show_fetched(found, target, as_json)
        return
    if as_json:
        show_json([row.as_json() for row in rows])
    else:
        show(rows, dry=not yes)
    if any(row.outcome in (CANNOT, CHANGE) for row in rows):
        sys.exit(1)


ConfigFile = Annotated[Path, typer.Argument(metavar="FILE", help="The config: YAML or JSON.")]
BaseName = Annotated[
    str | None, typer.Option("--base", metavar="NAME", help="The base model here; unset: the config's name for it.")
]
Data = Annotated[str | None, typer.Option("--data", metavar="FILE", help="Rows to train on, in place of the config's.")]
Valid = Annotated[str | None, typer.Option("--valid", metavar="FILE", help="Rows to validate on.")]
To = Annotated[Path, typer.Option("--to", metavar="FILE", help="The job, a new file.")]
Anyway = Annotated[bool, typer.Option("--anyway", help="Write the job without the keys that have no counterpart.")]
JOB = Path("job.json")


@app.command("axolotl", epilog=example("fettle import axolotl lora.yml --base starter --data train.jsonl"))
def of_axolotl(
    file: ConfigFile,
    base: BaseName = None,
    data: Data = None,
    valid: Valid = None,
    to: To = JOB,
    anyway: Anyway = False,
    as_json: AsJson = False,
) -> None:
    """Turn a config of Axolotl into a job. Exits with 1, and writes none, if a key has no counterpart."""
    config("axolotl", file, base, data, valid, to, anyway=anyway, as_json=as_json)


@app.command("llama-factory", epilog=example("fettle import llama-factory sft.yaml --base starter --data train.jsonl"))
def of_llama_factory(
    file: ConfigFile,
    base: BaseName = None,
    data: Data = None,
    valid: Valid = None,
    to: To = JOB,
    anyway: Anyway = False,
    as_json: AsJson = False,
) -> None:
    """Turn a config of LLaMA-Factory into a job. Exits with 1, and writes none, if a key has no counterpart."""
    config("llama-factory", file, base, data, valid, to, anyway=anyway, as_json=as_json)


@app.command(
    "together", epilog=example("fettle import together job.json --base starter --data train.jsonl --to mine.json")
)
def of_together(
    file: ConfigFile,
    base: BaseName = None,
    data: Data = None,
    valid: Valid = None,
    to: To = JOB,
    anyway: Anyway = False,
    as_json: AsJson = False,
) -> None:
    """Turn a job of Together's API into one here. Exits with 1, and writes none, if a key has no counterpart."""
    config("together", file, base, data, valid, to, anyway=anyway, as_json=as_json)


def config(
    tool: str,
    file: Path,
    base: str | None,
    data: str | None,
    valid: str | None,
    to: Path,
    *,
    anyway: bool,
    as_json: bool,
) -> None:
    found = reading.convert(tool, file, base, data, valid)
    clean = not found.missing
    if clean or anyway:
        try:
            with to.open("x") as out:
                out.write(json.dumps(found.body, indent=2, ensure_ascii=False) + "\n")
        except FileExistsError as error:
            raise FettleError(f"{to} exists. Choose another name: --to FILE") from error
    if as_json:
        show_json({"job": found.body, "handled": found.handled, "missing": found.missing})
    else:
        listed("Fettle does these itself:", found.handled, "dim")
        listed("These have no counterpart:", found.missing, "yellow")
        if clean or anyway:
            say(plain(f"{to} is ready: fettle train {to}", "bold"))
        else:
            console.print(plain("No job was written. Change the config, or add --anyway.", "bold"))
    if not clean and not anyway:
        sys.exit(1)


def listed(title: str, keys: dict[str, str], style: str) -> None:
    if not keys:
        return
    console.print(plain(title, "bold"))
    for name, sentence in sorted(keys.items()):
        console.print(plain(f"  {name}", style), soft_wrap=True, highlight=False)
        below(sentence, 4)


def fetched(target: Folder, offline: bool, tell: snapshot.Tell) -> Snapshot:
    """The folder, filled with what it lacks."""
    if offline:
        return filled(snapshot.of_folder(target), target)
    account = Account()
    try:
        found = snapshot.save(snapshot.of_account(account, tell), target)
        snapshot.download(account, found, target, tell)
    finally:
        account.close()
    return found


def seen(target: Folder, offline: bool, tell: snapshot.Tell) -> Snapshot:
    if offline:
        return filled(snapshot.of_folder(target), target)
    account = Account()
    try:
        return snapshot.of_account(account, tell)
    finally:
        account.close()


def filled(found: Snapshot, target: Folder) -> Snapshot:
    if not (found.files or found.jobs or found.evals):
        raise FettleError(
            f"{target.path} has no files.json, jobs.json or evals.json. Fill it: fettle import openai --fetch"
        )
    return found


def transferred(
    target: Folder, found: Snapshot, base: list[str], tell: snapshot.Tell, *, dry: bool, keep: bool
) -> list[Row]:
    client = Client(Settings())
    here = [each["id"] for each in client.get("/v1/models")["data"] if not each["id"].startswith("ft:")]

    @cache
    def alias(name: str) -> str | None:
        try:
            stands_for = client.get(f"/v1/models/{name}")["id"]
        except Refused:
            return None
        return str(stands_for) if stands_for in here else None

    bases = Bases.of(base, here, alias)
    return Transfer(client, target, found, bases, tell, dry=dry, keep=keep).run()


def show_fetched(found: Snapshot, target: Folder, as_json: bool) -> None:
    counts = {name: len(getattr(found, name)) for name in KINDS}
    if as_json:
        show_json({"folder": str(target.path), **counts, "missing": found.gaps})
        return
    tables.facts([("folder", target.path), *((name.replace("_", " "), count) for name, count in counts.items())])
    for name, reason in found.gaps.items():
        say(plain(f"{name}: {reason}", "yellow"))


def show(rows: list[Row], *, dry: bool) -> None:
    """A line for each object, what differs below it, and the sums."""
    for row in rows:
        head = Text.assemble(plain(f"{row.outcome:14}", STYLES[row.outcome]), plain(f"{row.kind} {row.id}", "bold"))
        head += plain(f"  {row.name}" if row.name else "")
        say(head)
        for text in (row.result, *row.notes):
            below(text)
    sums = Counter(row.outcome for row in rows)
    told = ", ".join(f"{sums[outcome]} {outcome}" for outcome in STYLES if sums[outcome])
    console.print(plain(told or "The account has nothing to import.", "bold"))
    if dry:
        console.print(plain("Nothing has been changed. Add --yes to import.", "dim"))


def below(text: str, indent: int = 14) -> None:
    if console.is_terminal:
        console.print(Padding(plain(text, "dim"), (0, 0, 0, indent)), overflow="fold")
    else:
        console.print(plain(" " * indent + text), soft_wrap=True, highlight=False)
