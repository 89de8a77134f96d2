"""A base model in memory, and the adapters in its slots."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.cache_utils import Cache

from fettle.errors import Unavailable
from worker.engine import adapters, lora
from worker.engine.lora import Lora, MixedLinear, Plan, Routing
from worker.engine.requests import Base

ATTENTIONS = {"full_attention", "sliding_attention"}  # kinds of layer whose cache is keys and values by position


class Network:
    """One base model that all its adapters share, each in the rows that want it.

    Made and filled by loader threads; `logits` is the decode thread's alone.
    """

    def __init__(self, base: Base) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base.folder,
            dtype=self.dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        check_vocabulary(base, network)
        self.config = network.config.get_text_config()
        self.kinds: tuple[str, ...] | None = layer_kinds(base, self.config)
        self.routing = Routing()
        self.linears = mixed(network, self.routing)
        self.network = cast(nn.Module, network).to(self.device).eval()
        self.loras: dict[str, Lora] = {}

    def plan(self, slots_B: Sequence[str | None], before: Plan | None = None) -> Plan | None:
        """How to compute these rows. Raises KeyError: no such slot."""
        return lora.plan(slots_B, self.loras, before)

    def logits(
        self, plan: Plan | None, ids_BT: Tensor, positions_BT: Tensor, allowed_B1TW: Tensor, cache: Cache
    ) -> Tensor:
        """logits_BV of the last position, float32. allowed_B1TW: which of the cache's W positions a token sees."""
        self.routing.plan = plan
        output = self.network(
            input_ids=ids_BT,
            position_ids=positions_BT,
            attention_mask=self._masks(allowed_B1TW),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_BV: Tensor = output.logits[:, -1].float()
        return logits_BV

    def _masks(self, allowed_B1TW: Tensor) -> Tensor | dict[str, Tensor]:
        """In the form that transformers' own `create_masks_for_generate` gives: one, or one for each kind of layer."""
        window = getattr(self.config, "sliding_window", None)
        full = self._additive(allowed_B1TW)
        if self.kinds is None and window is None:
            return full
        if window is None or allowed_B1TW.shape[-1] <= window:
            near = full
        else:
            near = self._additive(allowed_B1TW & within(window, allowed_B1TW))
        if self.kinds is None:
            return near
        return {kind: near if kind == "sliding_attention" else full for kind in self.kinds}

    def _additive(self, allowed_B1TW: Tensor) -> Tensor:
        lowest = torch.finfo(self.dtype).min
        return torch.zeros_like(allowed_B1TW, dtype=self.dtype).masked_fill_(~allowed_B1TW, lowest)

    def read(self, folder: Path) -> Lora:
        """The adapter in `folder`, in this network's terms. Blocking. Raises AdapterRejected."""
        return adapters.read(folder, self.linears, self.device, self.dtype)

    def attach(self, slot: str, adapter: Lora) -> None:
        self.loras[slot] = adapter

    def detach(self, slot: str) -> None:
        """Forgetting what is not there does nothing."""
        self.loras.pop(slot, None)


def within(window: int, allowed_B1TW: Tensor) -> Tensor:
    """Columns that lie at most window - 1 positions back. A row's last visible column is its token's own."""
    columns_W = torch.arange(allowed_B1TW.shape[-1], device=allowed_B1TW.device)
    last_B1T1 = torch.where(allowed_B1TW, columns_W, -1).amax(-1, keepdim=True)
    return columns_W > last_B1T1 - window


def mixed(network: nn.Module, routing: Routing) -> dict[str, adapters.Shape]:
    """Puts a MixedLinear in the place of every linear layer. Their names, with (out, in)."""
    linears = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    for name, linear in linears.items():
        network.set_submodule(name, MixedLinear(linear, name, routing))
    return {name: (linear.out_features, linear.in_features) for name, linear in linears.items()}


def layer_kinds(base: Base, config: Any) -> tuple[str, ...] | None:
    """None when the architecture has but one. Raises Unavailable for one that needs another kind of cache."""
    kinds = getattr(config, "layer_types", None)
    foreign = sorted({*(kinds or ())} - ATTENTIONS)
    if getattr(config, "attention_chunk_size", None) is not None and kinds is None:
        foreign = ["chunked_attention"]
    if foreign:
        raise Unavailable(
            f"The base model {base.name!r} has layers of the kind {foreign[0]!r}, which the embedded engine does not "
            "decode: serve it with vLLM."
        )
    return tuple(sorted(set(kinds))) if kinds else None


def check_vocabulary(base: Base, network: PreTrainedModel) -> None:
    """An id without an embedding would not fail one request but, on a GPU, the whole process."""
    tokens = 1 + max(base.renderer.tokenizer.get_vocab().values())  # ids may have gaps
    embeddings = cast(nn.Embedding, network.get_input_embeddings()).num_embeddings
    if tokens > embeddings:
        raise Unavailable(
            f"The base model {base.name!r} has {embeddings} embeddings for {tokens} tokens: "
            "its tokenizer belongs to another model."
        )
