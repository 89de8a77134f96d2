"""Decoding one batch: rows that want the same model, padded on the left, with one key-value cache."""

from typing import cast

import structlog
import torch
from torch import LongTensor, Tensor
from transformers import DynamicCache

from fettle.errors import FettleError
from worker.engine.errors import GenerationFailed
from worker.engine.networks import Network
from worker.engine.requests import Piece, Request
from worker.engine.rows import Row
from worker.engine.sampling import sample

log = structlog.get_logger()

INVALID = -1  # no token: the row's logits are not numbers


class Batch:
    """B rows; those that end leave it. Every row has the same `request.key`.

    Rounding apart, a row's logits do not depend on the others: what is padding is masked, and positions count from
    a row's own first token.
    """

    def __init__(self, network: Network, requests: list[Request]) -> None:
        self.network = network
        self.slot = requests[0].slot
        self.rows = [Row(request, index) for request in requests for index in range(request.sampling.n)]
        device = network.device
        width = max(len(request.prompt) for request in requests)
        prompts = [row.request.prompt for row in self.rows]
        pads = [width - len(prompt) for prompt in prompts]
        pad_id = requests[0].base.renderer.pad_id
        self.ids_BT = torch.tensor(
            [[pad_id] * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)], device=device
        )
        self.mask_BT = torch.tensor([[0] * pad + [1] * (width - pad) for pad in pads], device=device)
        self.positions_BT = (self.mask_BT.cumsum(-1) - 1).clamp(min=0)
        self.temperature_B = torch.tensor([row.request.sampling.temperature for row in self.rows], device=device)
        top_ps = [row.request.sampling.top_p for row in self.rows]
        self.top_p_B = torch.tensor(top_ps, dtype=torch.float64, device=device)
        self.cache = DynamicCache(config=network.config)

    def drop_finished(self) -> None:
        kept = [i for i, row in enumerate(self.rows) if not row.over]
        if len(kept) == len(self.rows):
            return
        self.rows = [self.rows[i] for i in kept]
        if not kept:
            return
        kept_B = torch.tensor(kept, device=self.ids_BT.device)
        self.ids_BT, self.mask_BT = self.ids_BT[kept_B], self.mask_BT[kept_B]
        self.positions_BT = self.positions_BT[kept_B]
        self.temperature_B, self.top_p_B = self.temperature_B[kept_B], self.top_p_B[kept_B]
        # A selection is a reordering too; unlike batch_select_indices, every kind of cache layer has it
        self.cache.reorder_cache(cast(LongTensor, kept_B))

    @torch.inference_mode()
    def step(self) -> list[tuple[Request, Piece | FettleError]]:
        """One token a row, and what there is to tell. The first step reads the prompts."""
        logits_BV = self.network.logits(
            self.slot,
            input_ids=self.ids_BT,
            attention_mask=self.mask_BT,
            position_ids=self.positions_BT,
            past_key_values=self.cache,
        )
        ids_B = self._sample(logits_BV)
        self.ids_BT = ids_B[:, None]
        self.mask_BT = torch.cat([self.mask_BT, torch.ones_like(self.mask_BT[:, :1])], -1)
        self.positions_BT = self.positions_BT[:, -1:] + 1
        told: list[tuple[Request, Piece | FettleError]] = []
        for row, token in zip(self.rows, ids_B.tolist(), strict=True):
            if row.over:
                continue
            item = self._take(row, token)
            if item is not None:
                told.append((row.request, item))
        return told

    def _sample(self, logits_BV: Tensor) -> Tensor:
        uniform_B = torch.tensor([row.uniform() for row in self.rows], dtype=torch.float64, device=logits_BV.device)
        ids_B = sample(logits_BV, self.temperature_B, self.top_p_B, uniform_B)
        return torch.where(logits_BV.amax(-1).isfinite(), ids_B, INVALID)

    def _take(self, row: Row, token: int) -> Piece | FettleError | None:
        if token == INVALID:
            row.request.cancelled = True  # with its other rows
            return GenerationFailed(
                "The model's output is not a number: its weights are damaged, or its training diverged."
            )
        try:
            return row.push(token, self.network.ends)
        except Exception as error:
            log.error("row_failed", exc_info=error)
            row.request.cancelled = True
            return GenerationFailed("The engine could not turn the tokens into text; its log has the details.")
