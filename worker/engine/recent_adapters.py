"""Weights of adapters that had to make room, kept on the host: loading one of them again reads and checks no files.

What is stored under a prefix never changes (docs/decisions/0003), so name, prefix and base say what the weights are.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.engine.adapters import Weights

SHARE = 16  # of the host's memory, one part of so many

Key = tuple[str, str, str]  # name, prefix in storage, base


class RecentAdapters:
    """limit: bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.kept: OrderedDict[Key, Weights] = OrderedDict()  # the one that left longest ago first

    def put(self, key: Key, weights: "Weights") -> None:
        self.kept[key] = weights
        while self.kept and sum(each.bytes for each in self.kept.values()) > self.limit:
            self.kept.popitem(last=False)

    def take(self, key: Key) -> "Weights | None":
        return self.kept.pop(key, None)

    def forget(self, name: str) -> None:
        """An adapter that was unloaded for good."""
        self.kept = OrderedDict((key, each) for key, each in self.kept.items() if key[0] != name)

    def forget_base(self, base: str) -> None:
        self.kept = OrderedDict((key, each) for key, each in self.kept.items() if key[2] != base)
