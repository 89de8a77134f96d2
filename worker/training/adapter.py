"""Adapter folders as they leave the worker: the files that serve, no pickled arguments, no local path."""

import json
import shutil
from pathlib import Path

from peft import PeftModel

from worker.training.work import Work

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
LEFT_OUT = ("README.md", "training_args.bin")  # a card that nobody wrote; a pickle


def publish(network: PeftModel, work: Work) -> None:
    """Fills `out/adapter`."""
    network.save_pretrained(str(work.adapter))
    for name in TOKENIZER_FILES:
        if (work.base_path / name).is_file():
            shutil.copyfile(work.base_path / name, work.adapter / name)
    tidy(work.adapter, work.base_name)


def tidy(folder: Path, base_name: str) -> None:
    """Also for checkpoints, which hold optimizer, scheduler and random state beside the adapter."""
    for name in LEFT_OUT:
        (folder / name).unlink(missing_ok=True)
    config_file = folder / "adapter_config.json"
    config = json.loads(config_file.read_text())
    config_file.write_text(json.dumps(config | {"base_model_name_or_path": base_name}, indent=2) + "\n")
    for path in folder.iterdir():
        path.chmod(0o644)
