"""Keys and values of prompts that were read, kept in blocks of tokens for later requests that begin the same.

A block is known by everything that its numbers depend on and everyone who may use them: the adapter's slot, which is
never given to another adapter, the request's salt, and all tokens up to the block's end (after vLLM's automatic prefix
caching). A request without a salt finds nothing and leaves nothing. The decode thread alone comes here.
"""

import time
from array import array
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from worker.engine.requests import Request

BLOCK = 32  # tokens
MAX_KEPT = 32_768  # positions, of all bases: a quarter of what running batches may hold, and they go first


@dataclass(frozen=True)
class Block:
    """layers_LHTD: the keys and the values of each layer in turn."""

    layers_LHTD: Tensor
    slot: str | None
    used: float  # when


class Prefixes:
    """Of one base. limit: positions."""

    def __init__(self) -> None:
        self.limit = MAX_KEPT
        self.blocks: OrderedDict[bytes, Block] = OrderedDict()  # the one used longest ago first

    @property
    def positions(self) -> int:
        return len(self.blocks) * BLOCK

    def find(self, request: Request) -> list[Block]:
        """The beginning of the prompt, as far as it is here; at least one token is left to be read."""
        found: list[bytes] = []
        for key in digests(request)[: (len(request.prompt) - 1) // BLOCK]:
            if key not in self.blocks:
                break
            found.append(key)
        self._touch(found)
        return [self.blocks[key] for key in found]

    def keep(self, request: Request, cache: Cache, row: int, pad: int) -> None:
        """Takes over the prompt that `row` of `cache` holds behind so many columns of padding."""
        read = [layer for layer in cache.layers if isinstance(layer, DynamicLayer)]  # all: `prefill` made them
        layers = [tensor for layer in read for tensor in (layer.keys, layer.values)]
        shapes = {None if tensor is None else tensor.shape for tensor in layers}
        if len(shapes) > 1 or None in shapes:  # a base with layers of several sizes
            return
        keys = digests(request)[: self.limit // BLOCK]
        self._touch([key for key in keys if key in self.blocks])
        for number, key in enumerate(keys):
            if key not in self.blocks:
                columns = slice(pad + number * BLOCK, pad + (number + 1) * BLOCK)
                made_LHTD = torch.stack([tensor[row, :, columns] for tensor in layers if tensor is not None])
                self._shrink(self.limit - BLOCK)
                self.blocks[key] = Block(made_LHTD, request.slot, 0.0)
        self._touch(keys)

    def forget(self, slot: str) -> None:
        """What an adapter has left."""
        self.blocks = OrderedDict((key, block) for key, block in self.blocks.items() if block.slot != slot)

    def _touch(self, keys: Collection[bytes]) -> None:
        """The end of a prompt goes before its beginning, without which it is of no use."""
        now = time.monotonic()
        for key in reversed([*keys]):
            block = self.blocks.pop(key)
            self.blocks[key] = Block(block.layers_LHTD, block.slot, now)

    def _shrink(self, positions: int) -> None:
        while self.positions > max(0, positions):
            self.blocks.popitem(last=False)


def digests(request: Request) -> list[bytes]:
    """What each full block of the prompt is known by; none where the request shares nothing."""
    if request.salt is None:
        return []
    ids = array("q", request.prompt)
    key = sha256(repr((request.slot, request.salt)).encode()).digest()
    found = []
    for end in range(BLOCK, len(ids) + 1, BLOCK):
        key = sha256(key + ids[end - BLOCK : end].tobytes()).digest()
        found.append(key)
    return found


def divide(stores: Collection[Prefixes], room: int) -> None:
    """Sets what each may hold, so that all together hold no more than `room`. What was used longest ago goes."""
    while (total := sum(store.positions for store in stores)) > room:
        min((store for store in stores if store.blocks), key=last_used).blocks.popitem(last=False)
    for store in stores:
        store.limit = room - (total - store.positions)


def last_used(store: Prefixes) -> float:
    """Of its oldest block."""
    return next(iter(store.blocks.values())).used
