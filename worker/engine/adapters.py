"""Adapter files: PEFT's layout, checked in full before a base model is touched."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from worker.engine.errors import AdapterRejected
from worker.engine.lora import Lora

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SERVED = {"r", "lora_alpha", "use_rslora", "target_modules", "init_lora_weights"}
NO_MATTER = {"auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout", "peft_version", "revision"}
NO_MATTER |= {"task_type"}  # what the weights are named for says enough
# What PEFT writes of its own accord; all other settings that are neither null, false nor empty would change the answers
WITHOUT_EFFECT = {"peft_type": "LORA", "bias": "none", "megatron_core": "megatron.core", "qalora_group_size": 16}
BASE_KEPT = (True, False, "gaussian")  # initialisations that leave the base's own weights alone
PREFIX, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
REWARD_MODEL = "SEQ_CLS"  # PEFT's task type for it
HEAD = PREFIX + "score.weight"  # what PEFT saves whole of a reward model, under the names of `HEADS`
HEADS = {"classifier", "score"}

Shape = tuple[int, int]  # out, in


@dataclass(frozen=True)
class Weights:
    """head_D: what a reward model reads its score with, float32; None for an adapter that writes."""

    lora: Lora
    head_D: Tensor | None = None


def read(folder: Path, linears: Mapping[str, Shape], hidden: int, device: torch.device, dtype: torch.dtype) -> Weights:
    """The adapter in `folder`, ready for a base whose linear layers have these shapes and whose hidden states have
    this size. Raises AdapterRejected."""
    config = read_config(folder / CONFIG)
    weights = read_weights(folder / WEIGHTS)
    head_D = take_head(weights, hidden) if config.get("task_type") == REWARD_MODEL else None
    rank = config["r"]
    modules = check_weights(weights, rank, linears)
    scaling = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)  # rsLoRA: arXiv 2312.03732
    lora = {
        module: (
            weights[PREFIX + module + A].T.to(device, dtype).contiguous(),
            (weights[PREFIX + module + B].T.float() * scaling).to(device, dtype).contiguous(),
        )
        for module in modules
    }
    return Weights(lora, None if head_D is None else head_D.to(device, torch.float32))


def take_head(weights: dict[str, Tensor], hidden: int) -> Tensor:
    """head_D of a reward model, out of its weights. Raises AdapterRejected."""
    head_1D = weights.pop(HEAD, None)
    if head_1D is None:
        raise AdapterRejected(f"{WEIGHTS} is incomplete: {HEAD!r}, the head that scores, is missing.")
    if tuple(head_1D.shape) != (1, hidden):
        raise AdapterRejected(
            f"{WEIGHTS}: {HEAD!r} has the shape {tuple(head_1D.shape)}, but a reward model on this base has "
            f"{(1, hidden)}."
        )
    if not head_1D.isfinite().all():
        raise AdapterRejected(f"{WEIGHTS}: {HEAD!r} contains values that are not numbers. Its training diverged.")
    return head_1D[0]


def read_config(file: Path) -> dict[str, Any]:
    """Plain LoRA and rsLoRA only: what else a config asks for would change the answers, so it is refused by name."""
    try:
        config: dict[str, Any] = json.loads(file.read_text())
        rank, alpha = config["r"], config["lora_alpha"]
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterRejected(f"{CONFIG} is not a LoRA configuration: {error!r}.") from error
    for name, value in config.items():
        if name == "modules_to_save" and config.get("task_type") == REWARD_MODEL and {*(value or ())} <= HEADS:
            continue  # PEFT's own, for the head
        if name not in SERVED | NO_MATTER and value and value != WITHOUT_EFFECT.get(name):
            raise AdapterRejected(f"{CONFIG} sets {name!r} to {value!r}, which is not supported. Only plain LoRA is.")
    if config.get("init_lora_weights", True) not in BASE_KEPT:
        raise AdapterRejected(
            f"{CONFIG}: 'init_lora_weights': {config['init_lora_weights']!r} changed the base model too. "
            "Convert the adapter to plain LoRA when you save it."
        )
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float):
        raise AdapterRejected(f"{CONFIG}: 'r' {rank!r} and 'lora_alpha' {alpha!r} must be numbers, r at least 1.")
    return config


def read_weights(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise AdapterRejected(f"{WEIGHTS} is not a safetensors file: {error}.") from error


def check_weights(weights: dict[str, Tensor], rank: int, linears: Mapping[str, Shape]) -> list[str]:
    """The names of the adapted linear layers. Raises AdapterRejected when a tensor does not fit its layer."""
    modules = {name.removeprefix(PREFIX).removesuffix(A).removesuffix(B) for name in weights}
    expected: dict[str, Shape] = {}
    for module in modules & linears.keys():
        rows, columns = linears[module]
        expected[PREFIX + module + A] = (rank, columns)
        expected[PREFIX + module + B] = (rows, rank)
    for name, tensor in weights.items():
        if name not in expected:
            raise AdapterRejected(f"{WEIGHTS}: the base model has no linear layer for {name!r}.")
        if tuple(tensor.shape) != expected[name]:
            raise AdapterRejected(
                f"{WEIGHTS}: {name!r} has the shape {tuple(tensor.shape)}, but the base model needs {expected[name]}."
            )
        if not tensor.isfinite().all():
            raise AdapterRejected(f"{WEIGHTS}: {name!r} contains values that are not numbers. Its training diverged.")
    if not weights or expected.keys() != weights.keys():
        missing = sorted(expected.keys() - weights.keys())
        raise AdapterRejected(
            f"{WEIGHTS} is incomplete: {f'{missing[0]!r} is missing' if missing else 'it contains no tensors'}."
        )
    return sorted(modules)
