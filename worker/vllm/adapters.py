"""The adapters that vLLM has: fetched from storage, checked, kept in a folder of their own, and loaded.

vLLM reads an adapter's folder again whenever it needs its weights, so the folder stays as long as the adapter is
loaded. A name and a storage prefix make one folder: vLLM keeps stale prefix-cache blocks of a path that changes.
"""

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from fettle.errors import Conflict, NotFound
from fettle.storage import Missing, Storage, artifacts
from worker.engine.errors import AdapterRejected, Overloaded
from worker.engine.model_pool import FILES
from worker.vllm.upstream import Vllm

# Rank 16 on an 8 B model is 84 MB: 22 GB of disk. What vLLM keeps of them in memory is its own --max-cpu-loras
MAX_ADAPTERS = 256


@dataclass
class Adapter:
    folder: Path
    used: float = field(default_factory=time.monotonic)


class Adapters:
    def __init__(self, vllm: Vllm, storage: Storage, cache: Path) -> None:
        self.vllm = vllm
        self.storage = storage
        self.cache = cache.absolute()
        self.known: dict[str, Adapter] = {}
        self.answering: Counter[str] = Counter()
        self.locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # one a name
        self.room = asyncio.Lock()

    async def adopt(self) -> None:
        """After a restart of the agent: what vLLM still has of ours is kept, every other folder goes."""
        for card in await self.vllm.models():
            folder = Path(card.get("root") or "")
            if card.get("parent") and folder.parent == self.cache:
                self.known[card["id"]] = Adapter(folder)
        kept = {adapter.folder for adapter in self.known.values()}
        self.cache.mkdir(parents=True, exist_ok=True)
        for folder in self.cache.iterdir():
            if folder not in kept:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def load(self, name: str, prefix: str, base_name: str) -> None:
        """Fetches, checks and loads an adapter. Loading what is loaded does nothing.

        Raises NotFound, AdapterRejected, Conflict when the name stands for another adapter, Overloaded when there is
        no room. Then nothing has changed.
        """
        bases = [card["id"] for card in await self.vllm.models() if not card.get("parent")]
        if base_name not in bases:
            raise NotFound(
                f"This vLLM serves {', '.join(map(repr, bases))}, not {base_name!r}. "
                "Start one with --served-model-name as in the catalog.",
                code="model_not_found",
                param="base_model_name",
            )
        folder = self.cache / hashlib.sha256(f"{name}\0{prefix}".encode()).hexdigest()[:32]
        async with self._lock(name):
            present = self.known.get(name)
            if present is not None and present.folder != folder:
                raise Conflict(f"{name!r} is already loaded from another location. Unload it first.", param="lora_name")
            if present is None:
                await self._fetch(prefix, folder)
                async with self.room:
                    await self._make_room()
                    self.known[name] = Adapter(folder)
            try:
                await self.vllm.load(name, folder)  # also when we know it: a vLLM that was restarted does not
            except AdapterRejected:
                await self._drop(name)
                raise

    async def unload(self, name: str) -> None:
        """Raises NotFound."""
        async with self._lock(name):
            loaded = await self.vllm.unload(name)
            if name not in self.known and not loaded:
                raise NotFound(f"The adapter {name!r} is not loaded.", param="lora_name")
            await self._drop(name)

    @contextlib.contextmanager
    def in_use(self, name: str) -> Iterator[None]:
        """An adapter that is answering does not leave."""
        self.answering[name] += 1
        try:
            yield
        finally:
            self.answering[name] -= 1
            if not self.answering[name]:
                del self.answering[name]
            if adapter := self.known.get(name):
                adapter.used = time.monotonic()

    async def _fetch(self, prefix: str, folder: Path) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache) as scratch:
            aside = Path(scratch) / "adapter"
            try:
                await artifacts.download(self.storage, prefix, aside, only=FILES)
            except artifacts.Corrupt as error:
                raise AdapterRejected(f"The stored adapter is damaged: {error}.", code="adapter_corrupt") from error
            except (Missing, ValueError) as error:  # ValueError: no key, or no manifest
                raise NotFound(f"There is no adapter at {prefix!r} ({error}).", param="lora_path") from error
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            aside.rename(folder)

    async def _make_room(self) -> None:
        """The adapter that was used longest ago leaves, unless it is answering."""
        while len(self.known) >= MAX_ADAPTERS:
            idle = [name for name in self.known if not self.answering[name]]
            if not idle:
                raise Overloaded(f"All {MAX_ADAPTERS} loaded adapters are in use. Try again in a few seconds.")
            leaving = min(idle, key=lambda name: self.known[name].used)
            await self.vllm.unload(leaving)
            await self._drop(leaving)

    async def _drop(self, name: str) -> None:
        if adapter := self.known.pop(name, None):
            await asyncio.to_thread(shutil.rmtree, adapter.folder, ignore_errors=True)

    def _lock(self, name: str) -> asyncio.Lock:
        return self.locks.setdefault(name, asyncio.Lock())
