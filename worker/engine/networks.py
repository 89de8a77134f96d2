"""A base model in memory, and the adapters in its slots."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.cache_utils import Cache

from fettle.errors import Unavailable
from fettle.registry.adapter_weights import Shape
from worker.engine import adapters, lora, masks
from worker.engine.adapters import Weights
from worker.engine.lora import Lora, LoraPlan, MixedLinear, Routing
from worker.engine.prefixes import Prefixes
from worker.engine.requests import Base


class Network:
    """One base model that all its adapters share, each in the rows that want it.

    Made and filled by loader threads; `logits` and `scores` are the decode thread's alone.
    """

    def __init__(self, base: Base, *, cpu_bf16: bool = False) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        bf16 = self.device.type == "cuda" or cpu_bf16
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base.folder,
            dtype=self.dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        check_vocabulary(base, network)
        self.config = network.config.get_text_config()
        refuse_foreign_layers(base, network)
        self.routing = Routing()
        self.linears = mixed(network, self.routing)
        self.network = cast(nn.Module, network).to(self.device).eval()
        if self.device.type == "cpu":
            for module in self.network.modules():
                if isinstance(module, MixedLinear):
                    module.pack()
        self.backbone = network.base_model  # all of it but the LM head
        self.loras: dict[str, Lora] = {}
        self.heads: dict[str, Tensor] = {}  # of the reward models among them
        self.prefixes = Prefixes()

    def plan(self, slots_B: Sequence[str | None], before: LoraPlan | None = None) -> LoraPlan | None:
        """How to compute these rows. Raises KeyError: no such slot."""
        return lora.plan(slots_B, self.loras, before)

    def logits(
        self, plan: LoraPlan | None, ids_BT: Tensor, positions_BT: Tensor, allowed_B1TW: Tensor, cache: Cache
    ) -> Tensor:
        """logits_BV of the last position, float32. allowed_B1TW: which of the cache's W positions a token sees."""
        self.routing.plan = plan
        output = self.network(
            input_ids=ids_BT,
            position_ids=positions_BT,
            attention_mask=masks.for_layers(self.config, self.dtype, allowed_B1TW),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_BV: Tensor = output.logits[:, -1].float()
        return logits_BV

    @torch.inference_mode()
    def scores(self, slot: str, conversations: Sequence[Sequence[int]]) -> list[float]:
        """The reward model's number for each conversation (ids), read at its last token, as
        `AutoModelForSequenceClassification` does. Padding comes after it, where causal attention does not look."""
        lengths = [len(ids) for ids in conversations]
        ids_BT = torch.zeros(len(conversations), max(lengths), dtype=torch.long, device=self.device)
        for row, ids in enumerate(conversations):
            ids_BT[row, : len(ids)] = torch.tensor(ids, device=self.device)
        self.routing.plan = self.plan([slot] * len(conversations))
        hidden_BTD: Tensor = self.backbone(input_ids=ids_BT, use_cache=False).last_hidden_state
        rows_B = torch.arange(len(conversations), device=self.device)
        last_B = torch.tensor(lengths, device=self.device) - 1
        scores: list[float] = (hidden_BTD[rows_B, last_B].float() @ self.heads[slot]).tolist()
        return scores

    def read(self, folder: Path) -> Weights:
        """The adapter in `folder`, in this network's terms. Blocking. Raises AdapterRejected."""
        return adapters.read(folder, self.linears, self.config.hidden_size, self.device, self.dtype)

    def attach(self, slot: str, weights: Weights) -> None:
        self.loras[slot] = weights.lora
        if weights.head_D is not None:
            self.heads[slot] = weights.head_D

    def detach(self, slot: str) -> Weights | None:
        """What was there."""
        lora, head_D = self.loras.pop(slot, None), self.heads.pop(slot, None)
        self.prefixes.forget(slot)
        return None if lora is None else Weights(lora, head_D)


def mixed(network: nn.Module, routing: Routing) -> dict[str, Shape]:
    """Puts a MixedLinear in the place of every linear layer. Their names, with (out, in)."""
    linears = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    for name, linear in linears.items():
        network.set_submodule(name, MixedLinear(linear, name, routing))
    return {name: (linear.out_features, linear.in_features) for name, linear in linears.items()}


def refuse_foreign_layers(base: Base, network: PreTrainedModel) -> None:
    foreign = masks.foreign_kind(network)
    if foreign:
        raise Unavailable(
            f"The base model {base.name!r} has layers of the kind {foreign!r}, which the embedded engine does not "
            "decode: serve it with vLLM."
        )


def check_vocabulary(base: Base, network: PreTrainedModel) -> None:
    """An id without an embedding would not fail one request but, on a GPU, the whole process."""
    tokens = 1 + max(base.renderer.tokenizer.get_vocab().values())  # ids may have gaps
    embeddings = cast(nn.Embedding, network.get_input_embeddings()).num_embeddings
    if tokens > embeddings:
        raise Unavailable(
            f"The base model {base.name!r} has {embeddings} embeddings for {tokens} tokens: "
            "its tokenizer belongs to another model."
        )
