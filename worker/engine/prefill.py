"""Reading prompts: a few requests together, a chunk at a time: who decodes meanwhile waits for one chunk only."""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from worker.engine.masks import behind_padding
from worker.engine.networks import Network
from worker.engine.prefixes import BLOCK
from worker.engine.requests import Request

CHUNK = 512  # tokens, of all prompts together, between two steps of a running batch
ALONE = 4096  # while nobody decodes


class Prefill:
    """P prompts, padded on the left to one width. A prompt is read once, however many rows its answer has, and where an
    earlier one began the same, only from there on."""

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
        self.read = self._begin()  # columns
        self.logits_PV: Tensor | None = None  # of the first token of every answer, once all is read

    @torch.inference_mode()
    def _begin(self) -> int:
        """Takes what is kept of all prompts up to one column; how many columns that are."""
        kept = [self.network.prefixes.find(request) for request in self.requests]
        start = min(pad + BLOCK * len(blocks) for pad, blocks in zip(self.pads, kept, strict=True))
        for request, pad in zip(self.requests, self.pads, strict=True):
            request.cached = max(0, start - pad)
        if start == 0:  # as it is where nothing is kept of the longest one, which has no padding
            return 0
        any_LHTD = next(block.layers_LHTD for blocks in kept for block in blocks)
        L, H, _, D = any_LHTD.shape
        past_LPHTD = any_LHTD.new_zeros(L, len(kept), H, start, D)
        for row, (request, pad, blocks) in enumerate(zip(self.requests, self.pads, kept, strict=True)):
            if request.cached:
                own_LHTD = torch.cat([block.layers_LHTD for block in blocks], dim=2)
                past_LPHTD[:, row, :, pad:] = own_LHTD[:, :, : request.cached]
        for layer in range(L // 2):
            self.cache.update(past_LPHTD[2 * layer], past_LPHTD[2 * layer + 1], layer)
        return start

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
        for row, (request, pad) in enumerate(zip(self.requests, self.pads, strict=True)):
            self.network.prefixes.keep(request, self.cache, row, pad)
        return True
