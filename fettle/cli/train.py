"""`fettle train`: from a file to a job, and on request to its end and a conversation."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from fettle.cli import chat, files
from fettle.cli.client import Client, Refused
from fettle.cli.jobs import JOBS, NOT_SUCCEEDED, follow
from fettle.cli.terminal import AsJson, console, plain, show_json
from fettle.errors import InvalidRequest
from fettle.methods import METHODS
from fettle.methods.spec import nothing
from fettle.settings import Settings

OTHER_NAMES = {"sft": "supervised", "grpo": "reinforcement"}
FLAGS = {  # an option's name here → the hyperparameter's
    "epochs": "n_epochs",
    "batch_size": "batch_size",
    "learning_rate": "learning_rate",
    "max_seq_length": "max_seq_length",
    "rank": "lora.rank",
}
JOB_BYTES = 1 << 20
BODY = "It must be the body of a job: an object with 'model' and 'training_file'."
Body = dict[str, Any]


def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="Rows to train on: a file on this machine or the id of an uploaded one. Or job.json, as for --job.",
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", "--model", help="A base model, or ft:… to continue from a tuned model.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="supervised, dpo, reward_model, rlhf or reinforcement; unset: supervised, or what --job has."
        ),
    ] = None,
    valid: Annotated[
        str | None, typer.Option(metavar="FILE", help="Rows to validate on: a file here, or an id.")
    ] = None,
    reward: Annotated[
        list[str],
        typer.Option(metavar="NAME[=WEIGHT]", help="For reinforcement: a reward function or a .py file. Repeatable."),
    ] = [],  # noqa: B006 — typer's way to say a default
    suffix: Annotated[str | None, typer.Option(help="Part of the tuned model's name.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Repeats a run: the same seed, the same result.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the rows.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows, or prompts, of a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the optimizer.")] = None,
    max_seq_length: Annotated[int | None, typer.Option(min=16, help="Tokens of the longest row.")] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="Of the LoRA adapter.")] = None,
    setting: Annotated[
        list[str],
        typer.Option("--set", metavar="NAME=VALUE", help="Any other hyperparameter: lora.alpha=64. Repeatable."),
    ] = [],  # noqa: B006 — as above
    metadata: Annotated[list[str], typer.Option(metavar="NAME=VALUE", help="A label of the job. Repeatable.")] = [],  # noqa: B006
    priority: Annotated[str | None, typer.Option(help="low, normal (the default) or high.")] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs that the job's slot must have.")] = None,
    gpu_memory: Annotated[float | None, typer.Option(metavar="GIB", help="Memory that each GPU must have.")] = None,
    on: Annotated[list[str], typer.Option(metavar="LABEL", help="A label that the worker must have. Repeatable.")] = [],  # noqa: B006
    max_hours: Annotated[
        float | None, typer.Option(metavar="HOURS", help="Hours that the job may run before it fails.")
    ] = None,
    max_gpu_hours: Annotated[
        float | None, typer.Option(metavar="HOURS", help="GPU-hours that the job may use before it fails.")
    ] = None,
    job: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The body of a job as JSON; the other options change it.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the job to its end.")] = False,
    talk: Annotated[bool, typer.Option("--chat", help="Follow the job, then talk to the tuned model.")] = False,
    limit: files.Problems = files.SOME,
    as_json: AsJson = False,
) -> None:
    """Train a model: upload the file, check it, create the job, and follow it with --watch.

    Every hyperparameter that you leave out is chosen from your data. Exits with 1 if the file or the job is refused,
    and with 4 if the job does not succeed.
    """
    if data is not None and job is None and is_job(Path(data)):
        job, data = Path(data), None
    body = read_body(job) if job else {}
    given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    given |= {"max_seq_length": max_seq_length, "rank": rank}
    flags = {FLAGS[name]: value for name, value in given.items() if value is not None}
    settings = flags | dict(pair(text, "--set") for text in setting)
    labels = {name: str(value) for name, value in (pair(text, "--metadata", raw=True) for text in metadata)}
    named = {"model": base, "training_file": data, "validation_file": valid, "suffix": suffix, "seed": seed}
    named["priority"] = priority
    body |= {name: value for name, value in named.items() if value is not None}
    resources = {"gpus": gpus, "gpu_memory_gib": gpu_memory, "labels": on or None}
    limits = {"hours": max_hours, "gpu_hours": max_gpu_hours}
    for field, options in (("resources", resources), ("limits", limits)):
        if asked := {name: value for name, value in options.items() if value is not None}:
            body[field] = {**(body.get(field) or {}), **asked}
    if labels:
        body["metadata"] = {**body.get("metadata", {}), **labels}
    shape_method(body, method, settings, [reward_function(text) for text in reward])
    for name, way in (("model", "--base starter"), ("training_file", "fettle train train.jsonl")):
        if not body.get(name):
            raise InvalidRequest(f"The job has no {name}. Name one: {way}")
    client = Client(Settings())
    check_model(client, str(body["model"]))
    for name in ("training_file", "validation_file"):
        if body.get(name):
            body[name] = uploaded(client, str(body[name]), limit, as_json)
    run(client, body, watch=watch or talk, talk=talk, as_json=as_json)


def run(client: Client, body: Body, *, watch: bool, talk: bool, as_json: bool) -> None:
    created = client.post(JOBS, body)
    if as_json:
        if watch:
            for _ in client.events(created["id"]):
                pass
            created = client.get(f"{JOBS}/{created['id']}")
        show_json(created)
        if watch and created["status"] != "succeeded":
            sys.exit(NOT_SUCCEEDED)
        return
    console.print(plain(f"{created['id']}  {created['status']}", "bold"), soft_wrap=True)
    if not watch:
        console.print(plain(f"fettle jobs watch {created['id']}", "dim"), soft_wrap=True)
        return
    done = follow(client, created["id"])
    if talk:
        chat.talk(client, done["fine_tuned_model"])


def check_model(client: Client, name: str) -> None:
    """Before files are sent, which can take long. A key that may not read models leaves it to the job's own check.

    Raises Refused for a model that does not exist.
    """
    try:
        client.get(f"/v1/models/{quote(name, safe='')}")
    except Refused as error:
        if error.code == "model_not_found":
            raise


def uploaded(client: Client, name: str, limit: int, as_json: bool) -> str:
    """The id of the file, uploaded if `name` is a path. If no job can train on it: prints why, deletes it, exits."""
    path = Path(name)
    if name.startswith("file-") and not path.exists():
        return name
    file = files.send(client, path)
    refused = file["status"] == "error"
    if not as_json:
        files.show_report(file, limit)
    elif refused:
        show_json(file)
    if refused:
        client.delete(f"/v1/files/{file['id']}")
        sys.exit(1)
    return str(file["id"])


def shape_method(body: Body, kind: str | None, settings: Body, rewards: list[Any]) -> None:
    """Puts the options into the body's method. Raises InvalidRequest."""
    method = body.get("method")
    if method is not None and not isinstance(method, dict):
        raise InvalidRequest("The job's 'method' must be a JSON object with a 'type'.")
    method = {**method} if method else {}
    known = method.get("type")
    default = "reinforcement" if rewards else "supervised"
    chosen = OTHER_NAMES.get(kind, kind) if kind else known or default
    if chosen not in METHODS:
        names = ", ".join(name for name in METHODS if name not in OTHER_NAMES)
        raise InvalidRequest(f"The method {chosen!r} does not exist. Choose one of: {names}.")
    if rewards and METHODS[chosen].graders is nothing:
        raise InvalidRequest(f"--reward is for the method 'reinforcement', not {chosen!r}.")
    if "hyperparameters" in body and not (kind or settings or rewards):
        return  # OpenAI's older place for them, which takes no method beside it
    own = {**method[chosen]} if isinstance(method.get(chosen), dict) and known == chosen else {}
    if rewards:
        own["reward_functions"] = rewards
    if settings:
        own["hyperparameters"] = merged({**body.pop("hyperparameters", {}), **own.get("hyperparameters", {})}, settings)
    body["method"] = {"type": chosen, **({chosen: own} if own else {})}


def merged(known: Body, settings: Body) -> Body:
    """With settings whose names may lead into an object, as `lora.rank` does."""
    for name, value in settings.items():
        *outer, last = name.split(".")
        place = known
        for each in outer:
            inner = place.get(each)
            place[each] = {**inner} if isinstance(inner, dict) else {}
            place = place[each]
        place[last] = value
    return known


def pair(text: str, option: str, raw: bool = False) -> tuple[str, Any]:
    """NAME=VALUE; a value that is not JSON is text. Raises BadParameter."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE, as in {option} name=value.")
    if raw:
        return name, value
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def reward_function(text: str) -> str | Body:
    """A name, or a file with Python; with a weight behind the last '='. Raises BadParameter, InvalidRequest."""
    name, equals, number = text.rpartition("=")
    if not equals:
        name = text
    try:
        weight = {"weight": float(number)} if equals else {}
    except ValueError:
        raise typer.BadParameter(f"{text!r} has no valid weight. Write it as answer_correct=0.5.") from None
    if name.endswith(".py"):
        try:
            return {"name": Path(name).stem, "source": Path(name).read_text(), **weight}
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{name} cannot be read: {error}.") from error
    return {"name": name, **weight} if weight else name


def is_job(file: Path) -> bool:
    """Does it hold the body of a job? A dataset whose name ends in .json has no training_file."""
    if file.suffix != ".json" or not file.is_file() or file.stat().st_size > JOB_BYTES:
        return False
    try:
        found = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(found, dict) and "training_file" in found


def read_body(file: Path) -> Body:
    """Raises InvalidRequest if the file cannot be read or does not contain a JSON object."""
    try:
        body = json.loads(file.read_text())
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidRequest(f"{file} is not JSON: {error}. {BODY}") from error
    if not isinstance(body, dict):
        raise InvalidRequest(f"{file} does not contain a JSON object. {BODY}")
    return body
