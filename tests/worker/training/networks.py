"""Networks for tests of the training maths."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head


def adapted(base: Path, *, fused: bool = False, loud: float = 0.05, **config: Any) -> PeftModel:
    """The base with an adapter whose B is not zero, so that both of its matrices get a gradient."""
    torch.manual_seed(7)
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    options: dict[str, Any] = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear", **config}
    tuned: PeftModel = get_peft_model(network, LoraConfig(task_type="CAUSAL_LM", **options))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=loud)
    if fused:
        add_fused_lm_head(tuned.get_base_model(), outputs=("log_probs", "entropy", "is_top1"))
    return tuned
