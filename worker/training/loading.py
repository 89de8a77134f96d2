"""The base model, its tokenizer and a fresh LoRA adapter in it."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, set_seed

from worker.training.arguments import bf16
from worker.training.channel import Channel
from worker.training.work import Work


def network(work: Work, channel: Channel) -> PeftModel:
    """The base model with a fresh adapter; says how large both are."""
    base = base_model(work.base_path)
    parameters = base.num_parameters()
    adapted = with_lora(base, work.hyperparameters["lora"], work.seed)
    trainable = adapted.num_parameters(only_trainable=True)
    channel.event(
        f"Base model {work.base_name} loaded: {parameters:,} parameters. The LoRA adapter trains {trainable:,}.",
        {"parameters": parameters, "trainable_parameters": trainable},
    )
    return adapted


def base_model(path: Path) -> PreTrainedModel:
    """Safetensors only, no code; float32 on a CPU."""
    return AutoModelForCausalLM.from_pretrained(
        path,
        dtype=torch.bfloat16 if bf16() else torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )


def tokenizer(path: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)


def with_lora(base: PreTrainedModel, lora: dict[str, Any], seed: int) -> PeftModel:
    """Adds an adapter to every linear layer but the LM head (Hu et al. 2021); its A is random, its B zero."""
    set_seed(seed)
    config = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, config)
