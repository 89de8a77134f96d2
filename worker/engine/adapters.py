"""Adapter files: PEFT's layout, checked in full before a base model is touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fettle.registry import adapter_config, adapter_weights
from fettle.registry.adapter_config import Unsupported
from fettle.registry.adapter_weights import HEAD, PREFIX, A, B, Shape
from worker.engine.errors import AdapterRejected
from worker.engine.lora import Lora


@dataclass(frozen=True)
class Weights:
    """head_D: what a reward model reads its score with, float32; None for an adapter that writes."""

    lora: Lora
    head_D: Tensor | None = None

    @property
    def bytes(self) -> int:
        tensors = [*(tensor for pair in self.lora.values() for tensor in pair), self.head_D]
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    def on(self, device: torch.device | str) -> "Weights":
        """The same where they are there already."""
        lora = {name: (A_DR.to(device), B_RO.to(device)) for name, (A_DR, B_RO) in self.lora.items()}
        return Weights(lora, None if self.head_D is None else self.head_D.to(device))


def read(folder: Path, linears: Mapping[str, Shape], hidden: int, device: torch.device, dtype: torch.dtype) -> Weights:
    """The adapter in `folder`, ready for a base whose linear layers have these shapes and whose hidden states have
    this size. Raises AdapterRejected."""
    try:
        return checked(folder, linears, hidden, device, dtype)
    except Unsupported as error:
        raise AdapterRejected(str(error)) from error


def checked(
    folder: Path, linears: Mapping[str, Shape], hidden: int, device: torch.device, dtype: torch.dtype
) -> Weights:
    """Raises Unsupported."""
    config = adapter_config.read(folder / adapter_config.NAME)
    weights = read_weights(folder / adapter_weights.NAME)
    head_D = take_head(weights, hidden) if adapter_config.is_reward_model(config) else None
    rank = config["r"]
    layers = adapter_weights.adapted_layers({name: tuple(each.shape) for name, each in weights.items()}, rank, linears)
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise adapter_weights.not_numbers(name)
    scaling = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)  # rsLoRA: arXiv 2312.03732
    lora = {
        layer: (
            weights[PREFIX + layer + A].T.to(device, dtype).contiguous(),
            (weights[PREFIX + layer + B].T.float() * scaling).to(device, dtype).contiguous(),
        )
        for layer in layers
    }
    return Weights(lora, None if head_D is None else head_D.to(device, torch.float32))


def take_head(weights: dict[str, Tensor], hidden: int) -> Tensor:
    """head_D of a reward model, out of its weights. Raises Unsupported."""
    head_1D = weights.pop(HEAD, None)
    adapter_weights.head_fits(None if head_1D is None else tuple(head_1D.shape), hidden)
    assert head_1D is not None  # noqa: S101 — it fits
    if not head_1D.isfinite().all():
        raise adapter_weights.not_numbers(HEAD)
    return head_1D[0]


def read_weights(file: Path) -> dict[str, Tensor]:
    """Raises Unsupported."""
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise Unsupported(f"{file.name} is not a safetensors file: {error}.") from error
