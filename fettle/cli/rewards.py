"""`fettle rewards`: the built-in reward functions, and one tried on a completion."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from fettle.cli import tables
from fettle.cli.client import Client
from fettle.cli.terminal import AsJson, console, example, figure, plain, say, show_json
from fettle.errors import InvalidRequest
from fettle.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Reward functions: list, show, try on a completion.")

PATH = "/v1/reward_functions"


@app.command("list", epilog=example("fettle rewards list"))
def show_all(as_json: AsJson = False) -> None:
    """List the reward functions: the project's own, and the built-in ones."""
    found = Client(Settings()).get(PATH)
    if as_json:
        show_json(found)
        return
    for each in found["data"]:
        console.print(plain(each["name"], "bold"), soft_wrap=True)
        console.print(plain(f"  {first_sentence(each['description'])}"))


@app.command(epilog=example("fettle rewards show answer_correct"))
def show(
    name: Annotated[str, typer.Argument(help="As `fettle rewards list` shows it.")], as_json: AsJson = False
) -> None:
    """Show a reward function: what it does, its parameters, and examples with their scores."""
    known = {each["name"]: each for each in Client(Settings()).get(PATH)["data"]}
    if name not in known:
        raise InvalidRequest(f"No reward function is called {name!r}. Choose one of: {', '.join(known)}.")
    found = known[name]
    if as_json:
        show_json(found)
        return
    console.print(plain(name, "bold"))
    console.print(plain(found["description"]))
    parameters = found["parameters"].get("properties", {})
    if parameters:
        console.print()
        tables.show(
            ("parameter", "default", "what it is"),
            [
                (each, json.dumps(about["default"]) if "default" in about else "", about.get("description", ""))
                for each, about in parameters.items()
            ],
        )
    for each in found.get("examples", []):
        console.print()
        tables.facts([(label, value if isinstance(value, str) else json.dumps(value)) for label, value in each.items()])


@app.command("try", epilog=example("fettle rewards try answer_correct '<answer>15</answer>' --item '{\"answer\": 15}'"))
def run(
    reward: Annotated[
        str, typer.Argument(help="A reward function's name, a .py file, or a grader as JSON or in a file.")
    ],
    completion: Annotated[str, typer.Argument(help="What a model would write.")],
    item: Annotated[str, typer.Option(metavar="JSON", help="The dataset row, where the reward reads it.")] = "{}",
    as_json: AsJson = False,
) -> None:
    """Score one completion. Exits with 1 when the reward fails on it."""
    row = parsed(item, "--item")
    body = {"grader": grader_of(reward), "model_sample": completion, "item": row}
    found = Client(Settings()).post("/v1/fine_tuning/alpha/graders/run", body)
    reason = next((text for name, text in found["metadata"]["errors"].items() if name.endswith("details") and text), "")
    if as_json:
        show_json(found)
    elif found["reward"] is None:
        say(plain(f"no reward: {reason}", "red"))
    else:
        console.print(plain(figure(found["reward"])), highlight=False)
    if found["reward"] is None:
        raise typer.Exit(1)


def grader_of(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        return parsed(text, "the reward")
    file = Path(text)
    if not file.is_file():
        return {"type": "function", "name": text, "function": text}
    content = file.read_text()
    return {"type": "python", "name": file.stem, "source": content} if file.suffix == ".py" else parsed(content, text)


def parsed(text: str, what: str) -> dict[str, Any]:
    """Raises InvalidRequest for what is not a JSON object."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{what} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidRequest(f"{what} must be a JSON object.")
    return found


def first_sentence(text: str) -> str:
    return re.split(r"(?<!\bal)\. ", " ".join(text.split()))[0].rstrip(".") + "."  # "et al." ends none
