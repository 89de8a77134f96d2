"""`fettle models`: base models and the project's tuned models."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from fettle.cli import tables
from fettle.cli.client import Client
from fettle.cli.terminal import AsJson, console, example, moment, plain, say, show_json
from fettle.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Models: list, show, add, upload, pull, download, remove.")

Name = Annotated[str, typer.Argument(help="A base model, or ft:… as `fettle models list` shows it.")]


@app.command("list", epilog=example("fettle models list"))
def show_all(as_json: AsJson = False) -> None:
    """List base models, then the project's tuned models."""
    found = Client(Settings()).get("/v1/models")
    if as_json:
        show_json(found)
        return
    tables.show(("model", "kind", "created"), [(each["id"], kind_of(each), moment_of(each)) for each in found["data"]])


def kind_of(model: dict[str, Any]) -> str:
    if is_base(model):
        return "base"
    return "tuned" if model["kind"] == "chat" else str(model["kind"])


def is_base(model: dict[str, Any]) -> bool:
    return bool(model["owned_by"] == "fettle")


def moment_of(model: dict[str, Any]) -> str:
    return "" if is_base(model) else moment(model["created"])


@app.command(epilog=example("fettle models show starter"))
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one model; of a base model its size, length, licence, family and limits."""
    found = Client(Settings()).get(f"/v1/models/{name}")
    if as_json:
        show_json(found)
        return
    describe(found)
    if found["kind"] == "chat":
        console.print()
        console.print(plain(f"fettle chat {found['id']}", "dim"), soft_wrap=True)


def describe(model: dict[str, Any]) -> None:
    base = model.get("base") or {}
    tables.facts(
        [
            ("model", model["id"]),
            ("kind", kind_of(model)),
            ("created", moment_of(model)),
            ("from", base.get("path") or (base.get("hub") and f"{base['hub']}@{base['revision']}")),
            ("family", base.get("family")),
            ("architecture", base.get("architecture")),
            ("parameters", base and f"{base['parameters']:,}"),
            ("length", base and f"{base['length']:,} tokens"),
            ("layers", base.get("layers")),
            ("licence", base.get("license")),
            ("turns end with", " ".join(base.get("stops") or [])),
            ("tool calls", base.get("tool_calls")),
            ("reasoning", base.get("reasoning")),
            ("family note", base.get("note")),
        ]
    )
    for each in base.get("limits") or []:
        say(Text("! ", "yellow") + plain(each))


@app.command(
    epilog=example(
        "fettle models add /models/qwen3-0.6b",
        "fettle models add Qwen/Qwen3-0.6B",
    )
)
def add(
    source: Annotated[str, typer.Argument(help="A folder on the server, or a model's id on the Hugging Face hub.")],
    name: Annotated[str | None, typer.Option(help="What jobs call it; unset: the folder's name.")] = None,
    revision: Annotated[
        str | None,
        typer.Option(help="A full commit id on the hub; unset: the commit that the server has downloaded last."),
    ] = None,
    check: Annotated[bool, typer.Option(help="Let it answer, and train it for a step.")] = True,
    as_json: AsJson = False,
) -> None:
    """Add a base model while Fettle runs. Its size, length, licence and template are read from its files.

    Needs a key with the scope `admin`. Then the model answers a question and trains for a step, so that you see what
    works; exits with 1 if one of them does not.
    """
    from fettle.cli import model_check

    client = Client(Settings())
    body: dict[str, Any] = {"hub": source, "revision": revision}
    folder = Path(source).expanduser()
    if folder.is_dir() or source.startswith((".", "/", "~")):
        body = {"path": str(folder.absolute())}
    sent = {field: value for field, value in {**body, "name": name}.items() if value is not None}
    found = client.post("/v1/models", sent)
    if not as_json:
        describe(found)
    results = model_check.run(client, found["id"]) if check else []
    if as_json:
        show_json({**found, "checks": [{"check": each.name, "ok": each.ok, "message": each.said} for each in results]})
    if not as_json:
        model_check.show(results)
    if not all(each.ok for each in results):
        raise typer.Exit(1)


@app.command(epilog=example("fettle models remove qwen3-0.6b", "fettle models remove ft:starter:default:mine:abc123"))
def remove(name: Name, as_json: AsJson = False) -> None:
    """Delete a tuned model or a checkpoint; or take a base model off the catalog, whose files stay where they are."""
    done = Client(Settings()).delete(f"/v1/models/{name}")
    if as_json:
        show_json(done)
    else:
        console.print(plain(f"{name} removed"), soft_wrap=True)
