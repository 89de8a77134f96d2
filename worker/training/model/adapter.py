"""Adapter folders as they leave the worker: the files that serve, no pickled arguments, no local path."""

import json
import shutil
from pathlib import Path

from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file

from worker.training.process.job_spec import Work

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
WEIGHTS = "adapter_model.safetensors"
BEST = "best_adapter.safetensors"  # in a checkpoint: the weights of an earlier step that validated better
LEFT_OUT = ("README.md", "training_args.bin")  # a card that nobody wrote; a pickle


def publish(network: PeftModel, work: Work) -> None:
    """Fills `out/adapter`."""
    save(network, work.adapter)
    for name in TOKENIZER_FILES:
        if (work.base_path / name).is_file():
            shutil.copyfile(work.base_path / name, work.adapter / name)
    tidy(work.adapter, work)


def save(network: PeftModel, folder: Path) -> None:
    """Without the frozen copy that a method may keep as its reference."""
    network.save_pretrained(str(folder), selected_adapters=["default"])


def tidy(folder: Path, work: Work) -> None:
    """Also for checkpoints, which hold optimizer, scheduler and random state beside the adapter.

    The base model's id on the hub is what PEFT, vLLM and the hub find it by; a local one has its name in the catalog.
    """
    for name in LEFT_OUT:
        (folder / name).unlink(missing_ok=True)
    for copy in folder.glob("*/adapter_config.json"):  # of a reference, which the run makes anew
        shutil.rmtree(copy.parent)
    config_file = folder / "adapter_config.json"
    config = json.loads(config_file.read_text())
    base = {"base_model_name_or_path": work.hub or work.base_name, "revision": work.revision}
    config_file.write_text(json.dumps(config | base, indent=2) + "\n")
    for path in folder.iterdir():
        path.chmod(0o644)


def add_best(checkpoint: Path, best: Path) -> None:
    """So that the best step outlives its own checkpoint, and the worker that trained it."""
    shutil.copyfile(best / WEIGHTS, checkpoint / BEST)


def recover_best(checkpoint: Path, best: Path) -> None:
    """After a resume; a checkpoint without weights of another step is the best one itself."""
    best.mkdir(parents=True)
    kept = checkpoint / BEST
    shutil.copyfile(kept if kept.exists() else checkpoint / WEIGHTS, best / WEIGHTS)


def load(network: PeftModel, folder: Path) -> None:
    set_peft_model_state_dict(network, load_file(folder / WEIGHTS))
