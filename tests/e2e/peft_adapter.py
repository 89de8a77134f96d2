"""A LoRA adapter that plain PEFT has trained, as people bring one."""

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER

QUESTION = [{"role": "user", "content": "Ben has 4 apples and finds 2. How many apples does Ben have?"}]
ANSWER = "Apples? Ask Zoe."


def train(folder: Path, base_model: str = "starter") -> Path:
    """A folder as PEFT's save_pretrained leaves it, with the pickle that a trainer adds."""
    torch.manual_seed(5)
    config = LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    network = get_peft_model(AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32), config)
    renderer = Renderer(STARTER)
    sequence = renderer.render([*QUESTION, {"role": "assistant", "content": ANSWER}])
    ids = torch.tensor([sequence.ids])
    labels = torch.where(torch.tensor([sequence.supervised]), ids, -100)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(25):
        network(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    network.save_pretrained(str(folder))
    config_file = folder / "adapter_config.json"
    named = json.loads(config_file.read_text()) | {"base_model_name_or_path": base_model}
    config_file.write_text(json.dumps(named))
    (folder / "training_args.bin").write_bytes(b"\x80\x04K\x01.")
    return folder
