"""`fettle models`: base models and the project's tuned models."""

from typing import Annotated, Any

import typer

from fettle.cli import tables
from fettle.cli.client import Client
from fettle.cli.terminal import AsJson, console, example, moment, plain, show_json
from fettle.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Models: list, show, delete.")

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
    """Show one model."""
    found = Client(Settings()).get(f"/v1/models/{name}")
    if as_json:
        show_json(found)
        return
    tables.facts([("model", found["id"]), ("kind", kind_of(found)), ("created", moment_of(found))])
    if found["kind"] == "chat":
        console.print()
        console.print(plain(f"fettle chat {found['id']}", "dim"), soft_wrap=True)


@app.command(epilog=example("fettle models delete ft:starter:default:mine:abc123"))
def delete(name: Name, as_json: AsJson = False) -> None:
    """Delete a tuned model or a checkpoint."""
    done = Client(Settings()).delete(f"/v1/models/{name}")
    if as_json:
        show_json(done)
    else:
        console.print(plain(f"{name} deleted"), soft_wrap=True)
