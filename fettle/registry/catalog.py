"""Base models: where their weights come from and what they can do.

An entry is a local folder, or a hub id with a pinned revision; its files tell the rest. Nothing that is not in the
catalog is ever loaded.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from fettle.errors import FettleError, InvalidRequest, NotFound, Unavailable, from_schema
from fettle.registry import model_files

STARTER = Path(__file__).parents[2] / "assets" / "starter"
CONFIGS = ("config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
WEIGHTS = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]  # never pickles, never code
COMMIT = re.compile(r"[0-9a-f]{40}")


class BaseModelEntry(BaseModel):
    """One base model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path | None = None
    hub: str | None = None
    revision: str | None = Field(None, description="Full commit id on the hub: weights never change under a name")
    parameters: int = Field(gt=0, description="Number of weights; `auto` hyperparameters depend on it")
    length: int = Field(gt=0, description="Longest sequence, tokens")
    license: str = "unknown"
    engine_reads_tools: bool = Field(
        False, description="The engine, such as vLLM with --tool-call-parser, reads calls that Fettle's own does not"
    )

    @model_validator(mode="after")
    def one_source(self) -> "BaseModelEntry":
        if (self.path is None) == (self.hub is None):
            raise ValueError("give either 'path' (a local folder) or 'hub' (an id on the hub)")
        if self.hub and not COMMIT.fullmatch(self.revision or ""):
            raise ValueError(f"'hub' needs a pinned 'revision' of 40 hex digits, not {self.revision!r}")
        return self


BUILT_IN: dict[str, BaseModelEntry] = {
    "starter": BaseModelEntry(path=STARTER, parameters=1_669_312, length=2048, license="apache-2.0"),
}


Catalog = Mapping[str, BaseModelEntry]


class CatalogError(FettleError):
    """The catalog file cannot be used."""


def load(file: Path | None) -> dict[str, BaseModelEntry]:
    """The built-in entries and those of the operator's file, a JSON object from name to entry.

    Raises CatalogError, which names the entry.
    """
    if file is None:
        return BUILT_IN
    try:
        entries: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise CatalogError(f"FETTLE_CATALOG={file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CatalogError(f"FETTLE_CATALOG={file}: byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise CatalogError(f"FETTLE_CATALOG={file}: line {error.lineno} is not JSON: {error.msg}") from error
    if not isinstance(entries, dict):
        raise CatalogError(f"FETTLE_CATALOG={file}: the file must contain a JSON object that maps names to entries")
    catalog = dict(BUILT_IN)
    for name, fields in entries.items():
        if ":" in name or not name.strip():
            raise CatalogError(f"FETTLE_CATALOG={file}: the name {name!r} is not valid. Use a name without ':'")
        try:
            catalog[name] = BaseModelEntry.model_validate(completed(fields))
        except model_files.Unreadable as error:
            raise CatalogError(
                f"FETTLE_CATALOG={file}: {name!r} does not say its 'parameters' and 'length', and its files cannot "
                f"tell: {error}. Add both numbers, or run `fettle models add`"
            ) from error
        except ValidationError as error:
            problem = from_schema(error.errors(), within=(name,)).message
            raise CatalogError(f"FETTLE_CATALOG={file}: {problem}") from error
    return catalog


def completed(fields: Any) -> Any:
    """With the numbers that the model's own files tell, where the entry does not. Raises Unreadable."""
    if not isinstance(fields, dict) or {"parameters", "length"} <= fields.keys():
        return fields
    named = {key: fields.get(key) for key in ("path", "hub", "revision")}
    try:
        folder = folder_of(BaseModelEntry.model_validate({**named, "parameters": 1, "length": 1}))
    except ValidationError:
        return fields  # for the entry's own check to say
    facts = model_files.read(folder)
    return {"parameters": facts.parameters, "length": facts.length, "license": facts.license, **fields}


def add(file: Path, name: str, entry: BaseModelEntry) -> None:
    """Writes the entry into the operator's file, in the place of one of that name; the file is made if need be.

    Raises CatalogError when what the file holds already cannot be used.
    """
    if file.is_file():
        load(file)
    entries = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    entries[name] = entry.model_dump(mode="json", exclude_none=True)
    write(file, entries)


def write(file: Path, entries: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    whole = file.with_suffix(".new")
    whole.write_text(json.dumps(entries, indent=1) + "\n", "utf-8")
    whole.replace(file)  # a server that starts meanwhile reads the old one or the new one


def check_aliases(aliases: dict[str, str], catalog: Catalog) -> dict[str, str]:
    """The same aliases. Raises CatalogError for one that leads nowhere or hides a name which means something else."""
    for alias, name in aliases.items():
        if name not in catalog:
            there = ", ".join(sorted(catalog))
            raise CatalogError(
                f"FETTLE_MODEL_ALIASES: {alias!r} stands for {name!r}, which is not a base model. Choose one "
                f"of: {there}"
            )
        if alias in catalog:
            raise CatalogError(f"FETTLE_MODEL_ALIASES: {alias!r} is the name of a base model. Choose another alias")
        if alias.startswith("ft:") or not alias.strip():
            raise CatalogError(
                f"FETTLE_MODEL_ALIASES: the alias {alias!r} is not valid. Use a name that does not start with 'ft:'"
            )
    return aliases


def find(catalog: Catalog, name: str, param: str = "model") -> BaseModelEntry:
    """Raises NotFound, which lists what there is."""
    if name not in catalog:
        raise NotFound(
            f"The base model {name!r} does not exist on this server. Choose one of: {', '.join(sorted(catalog))}.",
            code="model_not_found",
            param=param,
        )
    return catalog[name]


def base_of(tuned: str) -> str:
    """The base model that a tuned model's or a checkpoint's name tells: base models' names hold no ':'."""
    return tuned.split(":")[1]


def folder_of(entry: BaseModelEntry) -> Path:
    """Where the model lies on this machine, if it does."""
    if entry.path is not None:
        return entry.path
    return cached(str(entry.hub)) / "snapshots" / str(entry.revision)


def cached(hub: str) -> Path:
    """Where the hub's client keeps a repository."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    return Path(os.environ.get("HF_HUB_CACHE", home / "hub")) / f"models--{hub.replace('/', '--')}"


def cached_revision(hub: str) -> str | None:
    """The commit of the main branch when it was last downloaded to this machine."""
    try:
        found = (cached(hub) / "refs" / "main").read_text().strip()
    except OSError:
        return None
    return found if COMMIT.fullmatch(found) else None


def on_disk(name: str, entry: BaseModelEntry) -> Path:
    """The folder with tokenizer and template, if it is on this machine. Raises InvalidRequest: nothing is fetched."""
    folder = folder_of(entry)
    if not (folder / "tokenizer.json").is_file():
        raise InvalidRequest(
            f"The tokenizer of the base model {name!r} is not on the API server. Copy the model's folder there and set "
            "the catalog entry's 'path' to it, or choose another model.",
            code="base_model_not_local",
            param="model",
        )
    return folder


def local_path(entry: BaseModelEntry, token: SecretStr | None = None) -> Path:
    """The folder with the weights; fetched from the hub at its pinned revision when it is not in the cache yet.

    Blocking. Raises Unavailable when the weights cannot be had.
    """
    if entry.hub is None:
        assert entry.path is not None  # noqa: S101 — the validator saw to it
        if flaw := flaw_of(entry.path):
            raise Unavailable(f"The base model's folder {flaw}")
        return entry.path
    from huggingface_hub import snapshot_download  # the API never needs it

    try:
        secret = token.get_secret_value() if token else None
        folder = Path(snapshot_download(entry.hub, revision=entry.revision, allow_patterns=WEIGHTS, token=secret))
    except Exception as error:  # of the hub's client, of httpx or of the disk; the cause is logged with it
        raise Unavailable(
            f"The base model {entry.hub}@{entry.revision} is not in the local cache and could not be downloaded "
            f"({type(error).__name__}). Download it on a machine with network access, or set the entry's 'path' "
            "to a folder."
        ) from error
    if flaw := flaw_of(folder):
        raise Unavailable(f"The base model {entry.hub}@{entry.revision} cannot be used: {flaw}")
    return folder


def flaw_of(folder: Path) -> str | None:
    """Why the model in the folder is not loaded, as a sentence that begins with the folder; None when it may be."""
    if not folder.is_dir():
        return f"{folder} does not exist on the server's machine."
    if not (folder / "config.json").is_file():
        return f"{folder} has no config.json. It is not a model's folder."
    if danger := danger_of(folder):
        return danger
    return None if any(folder.glob("*.safetensors")) else f"{folder} has no .safetensors file."


def danger_of(folder: Path) -> str | None:
    """Why loading the model could run somebody's code: it brings its own, or its weights as a pickle only."""
    for name in CONFIGS:
        if (code := own_code(folder / name)) is not None:
            return (
                f"{folder} needs custom code (auto_map: {code} in {name}), which Fettle never runs. Choose a model "
                "that transformers supports natively. If it supports this one, delete auto_map from a local copy."
            )
    if any(folder.glob("*.safetensors")):
        return None
    pickles = sorted(path.name for kind in PICKLES for path in folder.glob(kind))
    if pickles:
        return (
            f"{folder} has only pickled weights ({pickles[0]}), which can run code when they are loaded. Convert them "
            "with transformers' save_pretrained, or use a revision with .safetensors files."
        )
    return None


def own_code(config: Path) -> str | None:
    """What `auto_map` names in a config file."""
    try:
        content = json.loads(config.read_bytes())
    except (OSError, ValueError):
        return None  # not there, or for its loader to complain about
    found = content.get("auto_map") if isinstance(content, dict) else None
    return ", ".join(sorted(found)) if isinstance(found, dict) else str(found) if found else None


def linear_layers(entry: BaseModelEntry) -> frozenset[str] | None:
    """Names of the layers that LoRA can adapt, read from the headers of the weights; None when they are not here."""
    files = sorted(entry.path.glob("*.safetensors")) if entry.path else []
    if not files:
        return None
    names = set()
    for file in files:
        with file.open("rb") as stream:
            header: dict[str, Any] = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        header.pop("__metadata__", None)
        for tensor, about in header.items():
            layer, _, kind = tensor.rpartition(".")
            matrix = kind == "weight" and len(about["shape"]) == 2
            if matrix and "embed" not in layer and not layer.endswith("lm_head"):
                names.add(layer.rpartition(".")[2])
    return frozenset(names)
