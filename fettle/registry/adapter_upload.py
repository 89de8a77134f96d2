"""An adapter that was made elsewhere, from what was uploaded to a folder that can be served. Blocking, and isolated.

A zip, or adapter_config.json and adapter_model.safetensors. Nothing else is kept, and no pickle is ever opened.
"""

import re
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fettle.errors import InvalidRequest
from fettle.registry import adapter_config, adapter_weights, hub, model_files
from fettle.registry.adapter_config import Unsupported
from fettle.registry.adapter_weights import Shape

FILES = (adapter_config.NAME, adapter_weights.NAME)
BYTES_AT_MOST = 2 << 30  # of an adapter; rank 64 on every layer of a 70 B model is 1.7 GB in bf16
RANK_AT_MOST = 128  # beyond it vLLM serves none of ours
LISTED = 20  # names of files that were left out
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
TEMPLATE = "chat_template.jinja"
QUANTIZED = re.compile(r"(-unsloth)?(-bnb)?-(4bit|8bit)$")  # the same weights, packed for training


@dataclass(frozen=True)
class Base:
    """The base model that the adapter is for. others: hub ids of the other ones here, by their names."""

    name: str
    folder: Path
    hub: str | None
    others: Mapping[str, str | None]


def take(sources: Mapping[str, Path], folder: Path, base: Base) -> dict[str, Any]:
    """Fills `folder` with the adapter's two files; what is known of it.

    sources: uploaded files by their names. Raises InvalidRequest for what cannot be served on this base.
    """
    folder.mkdir()
    try:
        left_out, template = unpack(sources, folder)
        config = adapter_config.read(folder / adapter_config.NAME)
        if (rank := config["r"]) > RANK_AT_MOST:
            raise Unsupported(f"{adapter_config.NAME}: 'r' is {rank}, but the limit is {RANK_AT_MOST}.")
        refuse_other_base(config.get("base_model_name_or_path"), base)
        return {**examine(folder, config, base), "left_out": left_out[:LISTED], "notes": notes(config, template, base)}
    except Unsupported as error:
        raise InvalidRequest(str(error), code="adapter_rejected", param="files") from error
    except model_files.Unreadable as error:
        raise InvalidRequest(
            f"The adapter cannot be compared with the base model {base.name!r}: {error}.",
            code="base_model_not_local",
            param="base_model",
        ) from error


def unpack(sources: Mapping[str, Path], folder: Path) -> tuple[list[str], bytes | None]:
    """The names of files that are not the adapter's, and the chat template that came with it. Raises Unsupported."""
    if len(sources) == 1 and zipfile.is_zipfile(next(iter(sources.values()))):
        name, path = next(iter(sources.items()))
        try:
            with zipfile.ZipFile(path) as archive:
                return unzip(archive, folder)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise Unsupported(f"{name} is not a zip file that can be read: {error}. Make it again.") from error
    refuse_incomplete(sources)
    for name in FILES:
        with sources[name].open("rb") as source:
            copy(source, folder / name)
    return sorted(sources.keys() - {*FILES}), None


def unzip(archive: zipfile.ZipFile, folder: Path) -> tuple[list[str], bytes | None]:
    """The adapter may lie in a folder of the zip. Raises Unsupported."""
    names = [name for name in archive.namelist() if not name.endswith("/")]
    parents = sorted({PurePosixPath(name).parent for name in names if PurePosixPath(name).name in FILES})
    if len(parents) > 1:
        raise Unsupported(
            f"The zip has {len(parents)} adapters: {', '.join(map(str, parents[:3]))}. Send a zip with one."
        )
    parent = parents[0] if parents else PurePosixPath(".")
    found = {PurePosixPath(name).name: name for name in names if PurePosixPath(name).parent == parent}
    refuse_incomplete(found)
    for name in FILES:
        with archive.open(found[name]) as source:
            copy(source, folder / name)
    template = None
    if TEMPLATE in found:
        with archive.open(found[TEMPLATE]) as source:
            template = source.read(adapter_config.BYTES_AT_MOST)
    return sorted({*names} - {found[name] for name in FILES}), template


def refuse_incomplete(names: Mapping[str, Any]) -> None:
    """Raises Unsupported where one of the two files is missing."""
    missing = [name for name in FILES if name not in names]
    if not missing:
        return
    pickled = [name for name in sorted(names) if name.endswith(PICKLES)]
    if adapter_weights.NAME in missing and pickled:
        raise Unsupported(
            f"{pickled[0]} is a pickle, which can run code when it is loaded, so Fettle never opens it. Load the "
            "adapter with PEFT and save it with save_pretrained(FOLDER, safe_serialization=True)."
        )
    there = ", ".join(sorted(names)[:5]) or "no file"
    raise Unsupported(
        f"{missing[0]} is missing; the upload has {there}. Send a zip of the folder that PEFT's save_pretrained wrote, "
        f"or its two files {' and '.join(FILES)}."
    )


def copy(source: IO[bytes], target: Path) -> None:
    """Raises Unsupported for more than an adapter has."""
    written = 0
    with target.open("wb") as out:
        while piece := source.read(1 << 20):
            written += len(piece)
            if written > BYTES_AT_MOST:
                raise Unsupported(f"{target.name} has more than {BYTES_AT_MOST:,} bytes, which is the limit.")
            out.write(piece)


def refuse_other_base(trained_on: Any, base: Base) -> None:
    """By the name that the configuration gives; shapes are compared as well. Raises Unsupported."""
    if not isinstance(trained_on, str) or trained_on in (base.name, base.hub):
        return
    for other, its_hub in base.others.items():
        if trained_on in (other, its_hub):
            raise Unsupported(
                f"The adapter was trained on {trained_on!r}, which is the base model {other!r} here, not "
                f"{base.name!r}. Send it with the base model {other!r}."
            )
    if base.hub and hub.REPOSITORY.fullmatch(trained_on) and model_of(trained_on) != model_of(base.hub):
        raise Unsupported(
            f"The adapter was trained on {trained_on!r}, but {base.name!r} is {base.hub!r}. Add {trained_on!r} with "
            "`fettle models add`, and send the adapter with that base model. If both have the same weights, set "
            f"base_model_name_or_path in {adapter_config.NAME} to {base.hub!r}."
        )


def model_of(repository: str) -> str:
    """Mirrors of a model have another owner, and its name with the packing behind it."""
    return QUANTIZED.sub("", repository.rpartition("/")[2].lower())


def examine(folder: Path, config: dict[str, Any], base: Base) -> dict[str, Any]:
    """Compares the tensors with the base's. lora: what a job that continues from it needs; null: none can.

    Raises Unsupported, Unreadable.
    """
    tensors = adapter_weights.tensors(folder / adapter_weights.NAME)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    scores = adapter_config.is_reward_model(config)
    if scores:
        adapter_weights.head_fits(shapes.pop(adapter_weights.HEAD, None), hidden_size(base.folder))
    linears = linear_layers(base.folder)
    layers = adapter_weights.adapted_layers(shapes, config["r"], as_named_by(shapes, linears))
    adapter_weights.check_numbers(folder / adapter_weights.NAME, tensors)
    return {
        "kind": "reward_model" if scores else "chat",
        "rank": config["r"],
        "alpha": config["lora_alpha"],
        "lora": form(config, layers, linears),
        "layers": len(layers),
        "parameters": sum(rows * columns for rows, columns in shapes.values()),
        "bytes": sum((folder / name).stat().st_size for name in FILES),
        "trained_on": trained_on if isinstance(trained_on := config.get("base_model_name_or_path"), str) else None,
    }


def linear_layers(folder: Path) -> dict[str, Shape]:
    """Those of the base, as (out, in), from the headers of its weights. Raises Unreadable."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise model_files.Unreadable(f"{folder} has no .safetensors file on the API server")
    return {
        name.removesuffix(".weight"): tuple(shape)
        for file in files
        for name, shape in model_files.shapes(file).items()
        if name.endswith(".weight") and len(shape) == 2 and "embed" not in name
    }


def as_named_by(shapes: Mapping[str, Shape], linears: Mapping[str, Shape]) -> dict[str, Shape]:
    """The base's layers by the names that the tensors have for them: the files of some models prefix them otherwise."""
    tails: dict[str, list[str]] = {}
    for name in linears:
        tails.setdefault(tail(name), []).append(name)
    found = dict(linears)
    for tensor in shapes:
        layer = tensor.removeprefix(adapter_weights.PREFIX)
        layer = layer.removesuffix(adapter_weights.A).removesuffix(adapter_weights.B)
        alike = tails.get(tail(layer), [])
        if layer not in found and len(alike) == 1:
            found[layer] = linears[alike[0]]
    return found


def tail(name: str) -> str:
    """From the number of the layer on."""
    start = name.find("layers.")
    return name if start < 0 else name[start:]


def form(config: dict[str, Any], layers: Collection[str], linears: Mapping[str, Shape]) -> dict[str, Any] | None:
    """As a job's hyperparameters have it. None where it adapts some of the layers of a name and leaves out others."""
    names = {name.rpartition(".")[2] for name in layers}
    if len(layers) != sum(name.rpartition(".")[2] in names for name in linears):
        return None
    return {
        "rank": config["r"],
        "alpha": config["lora_alpha"],
        "dropout": dropout if type(dropout := config.get("lora_dropout")) is float and 0 <= dropout < 1 else 0.0,
        "use_rslora": bool(config.get("use_rslora")),
        "target_modules": sorted(names),
    }


def hidden_size(folder: Path) -> int:
    """Raises Unreadable."""
    config = model_files.load(folder / "config.json")
    text = config.get("text_config")
    found = {**config, **(text if isinstance(text, dict) else {})}.get("hidden_size")
    if not isinstance(found, int):
        raise model_files.Unreadable(f"{folder / 'config.json'} has no hidden_size")
    return found


def notes(config: dict[str, Any], template: bytes | None, base: Base) -> list[str]:
    """What a check of shapes cannot see, for whoever uploads."""
    found = []
    trained_on = config.get("base_model_name_or_path")
    if trained_on and trained_on not in (base.name, base.hub):
        found.append(
            f"{adapter_config.NAME} says that the adapter was trained on {str(trained_on)[:200]!r}. Its tensors fit "
            f"{base.name!r}; make sure that both have the same weights."
        )
    own = base.folder / TEMPLATE
    if template is not None and own.is_file() and template.strip() != own.read_bytes().strip():
        found.append(
            f"The adapter came with another chat template than {base.name!r} has. Fettle uses the base model's, so "
            "answers may be worse than where it was trained."
        )
    return found
