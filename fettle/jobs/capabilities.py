"""What a base model cannot be trained to do, read from its folder when a job is made and not after it has begun."""

import asyncio
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fettle import methods
from fettle.errors import InvalidRequest, TrainingFailed
from fettle.methods.spec import REWARD_MODEL
from fettle.registry import catalog, score_heads
from fettle.registry.catalog import BaseModelEntry

if TYPE_CHECKING:
    from fettle.datasets.formats.render import Renderer

READ = (".", *catalog.CONFIGS, "tokenizer.json", "chat_template.jinja")  # the folder's own time: files come and go
CONVERSATION = [{"role": "user", "content": "What is 1 + 1?"}, {"role": "assistant", "content": "2"}]

SYSTEM = {"role": "system", "content": "Be brief."}

Flaw = tuple[str, str]  # code, sentence


async def check(name: str, entry: BaseModelEntry) -> None:
    """Raises InvalidRequest. A base model that is not on this machine is looked at by its training alone."""
    folder = catalog.folder_of(entry)
    if (folder / "config.json").is_file() and (flaw := await asyncio.to_thread(flaw_of, name, folder, stamps(folder))):
        raise InvalidRequest(flaw[1], code=flaw[0], param="model")


def check_quantization(name: str, entry: BaseModelEntry, method: dict[str, Any]) -> None:
    """method: resolved. Raises InvalidRequest for weights that are quantized already."""
    config = catalog.folder_of(entry) / "config.json"
    asked = method[method["type"]]["hyperparameters"].get("quantization")
    if asked and config.is_file() and "quantization_config" in read(config):
        raise InvalidRequest(
            f"The weights of the base model {name!r} are quantized already, so that they cannot be turned into "
            f"{asked}. Leave quantization out, or choose the base model's unquantized form.",
            code="quantization_unavailable",
            param=f"method.{method['type']}.hyperparameters.quantization",
        )


def check_score_head(name: str, entry: BaseModelEntry, method: methods.Method) -> None:
    """Raises InvalidRequest for a method that trains a reward model, on a base that cannot become one."""
    config = catalog.folder_of(entry) / "config.json"
    if REWARD_MODEL not in methods.spec_of(method).publishes or not config.is_file():
        return
    if sentence := score_heads.flaw(name, read(config)):
        raise InvalidRequest(sentence, code="base_model_unsupported", param="model")


def stamps(folder: Path) -> tuple[int, ...]:
    """Another value as soon as one of the files is another."""
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in (folder / name for name in READ))


@lru_cache(maxsize=64)
def flaw_of(name: str, folder: Path, stamps: tuple[int, ...]) -> Flaw | None:
    """What keeps every method from training this base. Blocking: a tokenizer takes up to half a second to read."""
    if danger := catalog.danger_of(folder):
        return "base_model_unavailable", f"The base model {name!r} {danger.removeprefix(f'{folder} ')}"
    try:
        config = read(folder / "config.json")
    except ValueError as error:
        return "base_model_unavailable", f"The config.json of the base model {name!r} is not JSON: {error}."
    if config.get("is_encoder_decoder"):
        return "base_model_unsupported", (
            f"The base model {name!r} has an encoder, but every method trains models that only decode: choose one that "
            "transformers loads with AutoModelForCausalLM."
        )
    if not (folder / "tokenizer.json").is_file():
        return "bad_tokenizer", (
            f"The base model {name!r} has no tokenizer.json: load its tokenizer with transformers' AutoTokenizer and "
            "save it into the model's folder."
        )
    from fettle.datasets.formats.render import Renderer  # the API starts without tokenizers

    try:
        renderer = Renderer(folder)
    except TrainingFailed as failure:
        return failure.code, f"The base model {name!r} cannot be trained: {failure.message}"
    except Exception as error:  # tokenizers raises nothing narrower
        return "bad_tokenizer", f"The tokenizer of the base model {name!r} cannot be read: {error}."
    return vocabulary_flaw(name, renderer, config) or template_flaw(name, renderer)


def vocabulary_flaw(name: str, renderer: "Renderer", config: dict[str, Any]) -> Flaw | None:
    """An id without an embedding would end a run in the middle, on a GPU without saying why."""
    embeddings = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    tokens = 1 + max(renderer.tokenizer.get_vocab().values())  # ids may have gaps
    if embeddings is None or tokens <= embeddings:
        return None
    return "bad_tokenizer", (
        f"The base model {name!r} has {embeddings} embeddings for {tokens} tokens: its tokenizer belongs to another "
        "model. Take both from one place."
    )


def template_flaw(name: str, renderer: "Renderer") -> Flaw | None:
    """What no row can mend. A template that refuses this conversation may take others: its rows will tell."""
    try:
        lessons = renderer.render(CONVERSATION).lessons
    except TrainingFailed as failure:
        if failure.code == "chat_template_refused":
            return None
        if failure.code != "chat_template_drops_text":
            return failure.code, f"{name!r}: {failure.message}"
        lessons = 0
    if lessons:
        return None
    return "chat_template_unsupported", (
        f"The chat template of the base model {name!r} does not show what the assistant says: there would be nothing "
        "to learn. Write another template into its folder."
    )


def limits(folder: Path) -> list[str]:
    """What jobs on this base model cannot have, though it can be trained. Blocking."""
    from fettle.datasets.formats.render import Renderer  # the API starts without tokenizers

    renderer, found = Renderer(folder), []
    if missing := {"tools", "tool_calls"} - renderer.shows:
        found.append(f"Rows with {' or '.join(sorted(missing))} are refused: its chat template does not show them.")
    try:
        renderer.render([SYSTEM, *CONVERSATION])
    except TrainingFailed:
        found.append("Rows with a system message are refused: its chat template does not take one.")
    try:
        if len(renderer.sequences([*CONVERSATION, *CONVERSATION])) > 1:
            found.append(
                "Its chat template rewrites earlier turns: a row is trained as one sequence for each turn, exactly as "
                "they are served, which takes more tokens."
            )
    except TrainingFailed:
        found.append("Rows with several assistant turns are refused by its chat template.")
    if score_heads.flaw(folder.name, config := read(folder / "config.json")):
        found.append("The methods reward_model and rlhf are refused: its type has no score head in transformers.")
    if "quantization_config" in config:
        found.append("Its weights are quantized, so that 'quantization' cannot be used.")
    return found


def read(config: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(config.read_bytes())
    return found
