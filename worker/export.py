"""A tuned model as one ordinary model: `python -m worker.export ft:… --to FOLDER`.

The adapter is fetched from storage, its sha256 checked, and merged into its base; the folder then holds safetensors,
config, tokenizer, chat template, generation config and a model card, and loads without Fettle and without PEFT. With
--format gguf it holds one GGUF file, a Modelfile for Ollama and the card.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from fettle.cli.terminal import printable
from fettle.db import Database
from fettle.errors import Conflict, FettleError, InvalidRequest, NotFound, Unavailable
from fettle.registry import catalog, tuned_models
from fettle.registry.catalog import BaseModelEntry, Catalog
from fettle.settings import Settings, invalid_setting
from fettle.storage import Missing, artifacts, open_storage
from models import Checkpoint, Job, TunedModel
from worker.exports import gguf_file, hub, modelfile

ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
FROM_THE_BASE = ["generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
FROM_THE_BASE += ["vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja", "LICENSE"]
FORMATS = ("safetensors", "gguf")
GGUF = "model.gguf"
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}


@dataclass(frozen=True)
class TunedAdapter:
    """A tuned model or a checkpoint of one."""

    name: str
    base_model: str
    job: Job | None  # None: the adapter was uploaded
    prefix: str  # of the adapter in storage


def main(arguments: list[str] | None = None) -> None:
    """Errors that a person can fix come as one sentence, without a traceback."""
    parser = argparse.ArgumentParser(prog="fettle export", description="Merge a tuned model into its base.")
    parser.add_argument("name", help="a tuned model or a checkpoint: ft:…")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="new, or empty")
    parser.add_argument("--dtype", choices=DTYPES, help="of the written weights; unset: the base model's")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="gguf: for llama.cpp and Ollama")
    parser.add_argument(
        "--push", metavar="OWNER/NAME", help="also to this repository on the hub; needs FETTLE_HF_TOKEN"
    )
    options = parser.parse_args(arguments)
    try:
        settings = Settings()
        if options.push:
            hub.check(options.push, settings.hf_token)
        summary = asyncio.run(
            export(
                settings, catalog.load(settings.catalog_file), options.name, options.to, options.dtype, options.format
            )
        )
        if options.push and settings.hf_token:
            summary += f"\n{hub.push(options.to, options.push, settings.hf_token)}"
    except ValidationError as error:
        sys.exit(printable(f"error {invalid_setting(error)}"))
    except FettleError as error:
        sys.exit(printable(f"error {error.message}"))
    except OSError as error:
        sys.exit(f"error {type(error).__name__}: {error}")
    print(printable(summary))


async def export(
    settings: Settings, models: Catalog, name: str, to: Path, dtype: str | None = None, form: str = FORMATS[0]
) -> str:
    """Writes the folder, whole or not at all; returns a summary. Raises FettleError."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise Conflict(f"{to} exists and is not an empty folder. Name a new folder with --to.")
    tuned = await find(settings, name)
    entry = catalog.find(models, tuned.base_model)
    base = await asyncio.to_thread(catalog.local_path, entry, settings.hf_token)
    to.absolute().parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(
        tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.absolute().parent)
    )  # on the same disk: moved at the end
    try:
        adapter, merged = scratch / "adapter", scratch / "merged"
        await fetch(settings, tuned, adapter)
        said = await asyncio.to_thread(merge, base, adapter, merged, DTYPES[dtype] if dtype else None)
        for kept in FROM_THE_BASE:
            if (base / kept).is_file():
                shutil.copyfile(base / kept, merged / kept)
        (merged / "README.md").write_text(card(tuned, entry, said))
        if form == "gguf":
            whole, merged = merged, scratch / "gguf"
            said += ", " + await asyncio.to_thread(in_gguf, whole, merged)
        for file in merged.iterdir():
            file.chmod(0o644)
        merged.replace(to)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    size = sum(file.stat().st_size for file in to.iterdir())
    return f"{tuned.name} merged into {tuned.base_model}: {to} ({said}, {size / 2**20:,.0f} MiB)"


def in_gguf(merged: Path, folder: Path) -> str:
    """The merged model as a GGUF file with its Modelfile and card; returns what the file's check saw."""
    folder.mkdir()
    seen = gguf_file.write(merged, folder / GGUF)
    (folder / "Modelfile").write_text(modelfile.text(merged, GGUF))
    shutil.copyfile(merged / "README.md", folder / "README.md")
    return seen


async def find(settings: Settings, name: str) -> TunedAdapter:
    """Whichever project's: whoever runs this has the database anyway.

    Raises NotFound, which names the newest, and InvalidRequest for a reward model.
    """
    db = Database(settings.database)
    try:
        async with db.snapshot() as session:
            found = await session.get(TunedModel, name) or await session.scalar(
                select(Checkpoint).where(Checkpoint.name == name)
            )
            if found is not None and not await tuned_models.chats(session, found):
                raise InvalidRequest(
                    f"{name!r} is a reward model. Merging it into its base would remove the head that scores. Load its "
                    "adapter into AutoModelForSequenceClassification as docs/preferences.md shows.",
                    code="model_not_supported",
                )
            if found is not None:
                job = await session.get_one(Job, found.job_id) if found.job_id else None
                return TunedAdapter(name, catalog.base_of(name), job, found.prefix)
            newest = (
                await session.scalars(select(TunedModel.name).order_by(TunedModel.created_at.desc()).limit(3))
            ).all()
    finally:
        await db.close()
    there = f"The newest are: {', '.join(newest)}." if newest else "There are no tuned models yet."
    raise NotFound(f"The tuned model {name!r} does not exist. {there}", code="model_not_found")


async def fetch(settings: Settings, tuned: TunedAdapter, folder: Path) -> None:
    """Raises Unavailable when storage does not give the adapter back as it was stored."""
    try:
        await artifacts.download(open_storage(settings), tuned.prefix, folder, only=ADAPTER)
    except (Missing, artifacts.Corrupt) as error:
        raise Unavailable(
            f"The adapter of {tuned.name!r} is incomplete in storage ({error}). Restore {tuned.prefix}, or train again."
        ) from error


def merge(base: Path, adapter: Path, folder: Path, dtype: str | None) -> str:
    """Adds scaling · B · A to every adapted weight (Hu et al. 2021, section 4.1); returns the dtype it wrote.

    Raises InvalidRequest for an adapter that does not fit, or whose sum is not finite.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config: dict[str, Any] = json.loads((base / "config.json").read_text())
    written = dtype or config.get("dtype") or config.get("torch_dtype") or "float32"
    network = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=getattr(torch, written),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    try:
        adapted = PeftModel.from_pretrained(network, str(adapter), autocast_adapter_dtype=False)
        merged = adapted.merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError) as error:
        sentence = next(iter(str(error).splitlines()), "")
        raise InvalidRequest(f"The adapter cannot be merged into {base.name}: {sentence}") from error
    merged.save_pretrained(folder)
    return str(written)


def card(tuned: TunedAdapter, entry: BaseModelEntry, dtype: str) -> str:
    """A model card, with the header that model hubs read."""
    job = tuned.job
    asked = job.method[job.method["type"]]["hyperparameters"] if job else {}
    source = f"{entry.hub} at revision {entry.revision}" if entry.hub else "a local folder"
    quantized = ", on weights quantized to nf4; merged into the unquantized ones" if asked.get("quantization") else ""
    hub = f"base_model: {entry.hub}\n" if entry.hub else ""
    return f"""---
library_name: transformers
pipeline_tag: text-generation
{hub}license: {entry.license}
---

# {tuned.name}

{tuned.base_model} ({source}), fine-tuned with LoRA{quantized}; the adapter is merged in. Weights are {dtype}.

The base model's licence ({entry.license}) covers these weights as well.

{origin(job, asked)}"""


def origin(job: Job | None, asked: dict[str, Any]) -> str:
    """Of the adapter. asked: its job's hyperparameters."""
    if job is None:
        return "The adapter was trained elsewhere and uploaded.\n"
    values = "\n".join(f"| {name} | {value} |" for name, value in asked.items())
    return f"""| | |
|---|---|
| job | {job.id} |
| method | {job.method["type"]} |
| training file | {job.training_file} |
| validation file | {job.validation_file or "none"} |
| seed | {job.seed} |
{values}
"""


if __name__ == "__main__":
    main()
