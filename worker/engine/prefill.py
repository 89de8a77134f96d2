"""Reading prompts: a few requests together, a chunk at a time: who decodes meanwhile waits for one chunk only."""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from worker.engine.masks import behind_padding
from worker.engine.networks import Network
from worker.engine.requests import Request

CHUNK = 512  # tokens, of all prompts together, between two steps of a running batch
ALONE = 4096  # while nobody decodes


class Prefill:
    """P prompts, padded on the left to one width. A prompt is read once, however many rows its answer has."""

    def __init__(self, network: Network, requests: list[Request]) -> None:
        self.network = network
        self.requests = sorted(requests, key=lambda request: request.slot or "")  # so adapters' rows lie together
        prompts = [request.prompt for request in self.requests]
        self.width = max(len(prompt) for prompt in prompts)
        self.pads = [self.width - len(prompt) for prompt in prompts]
        pad_id = requests[0].base.renderer.pad_id
        padded = [[pad_id] * pad + prompt for pad, prompt in zip(self.pads, prompts, strict=True)]
        self.ids_PT = torch.tensor(padded, dtype=torch.long, device=network.device)
        self.pads_P = torch.tensor(self.pads, dtype=torch.long, device=network.device)
        self.plan = network.plan([request.slot for request in self.requests])
        self.cache = Cache(layer_class_to_replicate=DynamicLayer)  # whole, for layers with a window as well
        self.read = 0  # columns
        self.logits_PV: Tensor | None = None  # of the first token of every answer, once all is read

    @property
    def cancelled(self) -> bool:
        return all(request.cancelled for request in self.requests)

    @torch.inference_mode()
    def advance(self, tokens: int) -> bool:
        """Reads the next columns, about `tokens` tokens in all. True when the prompts are read."""
        start = self.read
        stop = min(self.width, start + max(1, tokens // len(self.requests)))
        columns_T = torch.arange(start, stop, device=self.network.device)
        positions_PT = (columns_T - self.pads_P[:, None]).clamp(min=0)
        logits_PV = self.network.logits(
            self.plan,
            self.ids_PT[:, start:stop],
            positions_PT,
            behind_padding(columns_T, stop, self.pads_P),
            self.cache,
        )
        self.read = stop
        if stop < self.width:
            return False
        self.logits_PV = logits_PV
        return True
