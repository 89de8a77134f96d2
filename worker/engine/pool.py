"""What the engine can answer with: the catalog's bases, and the adapters that were loaded. Event loop only.

The weights are the decode thread's; here are the names, who was used last, and who leaves when there is no room.
"""

import asyncio
import itertools
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from pydantic import SecretStr

from fettle import artifacts, catalog, leftovers
from fettle.catalog import BaseModelEntry
from fettle.errors import Conflict, NotFound
from fettle.formats.render import Renderer
from fettle.storage import Missing, Storage
from worker.engine.errors import AdapterRejected, Overloaded, UnknownModel
from worker.engine.requests import Base
from worker.engine.thread import DecodeThread

# Rank 16 on every linear layer of an 8 B model is 84 MB in bf16: 32 of them take 2.7 GB beside the base's 16 GB
MAX_ADAPTERS = 32
FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass
class Adapter:
    name: str
    path: str
    base: Base
    slot: str  # what the base's network knows it by: names hold what module names may not, and may come back
    created: int = field(default_factory=lambda: int(time.time()))
    used: float = field(default_factory=time.monotonic)


class Pool:
    def __init__(
        self,
        models: dict[str, BaseModelEntry],
        storage: Storage,
        cache: Path,
        thread: DecodeThread,
        hub_token: SecretStr | None = None,
    ) -> None:
        self.models = models
        self.hub_token = hub_token
        self.storage = storage
        self.cache = cache
        leftovers.sweep(cache, "tmp*")
        self.thread = thread
        self.bases: dict[str, Base] = {}
        self.adapters: dict[str, Adapter] = {}
        self.slots = (f"slot{number:08d}" for number in itertools.count())
        self.locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # one a name
        self.room = asyncio.Lock()

    async def base(self, name: str) -> Base:
        """Its tokenizer and template; the weights come with the first request. Raises NotFound, Unavailable."""
        async with self._lock(name):
            if name not in self.bases:
                entry = catalog.find(self.models, name, "base_model_name")
                folder = await asyncio.to_thread(catalog.local_path, entry, self.hub_token)
                self.bases[name] = Base(name, folder, entry.length, await asyncio.to_thread(Renderer, folder))
            return self.bases[name]

    async def find(self, name: str) -> tuple[Base, Adapter | None]:
        """Raises UnknownModel."""
        if name in self.models:
            return await self.base(name), None
        if name not in self.adapters:
            raise UnknownModel(name)
        adapter = self.adapters[name]
        adapter.used = time.monotonic()
        return adapter.base, adapter

    def resident(self, adapter: Adapter) -> bool:
        return self.adapters.get(adapter.name) is adapter

    async def load(self, name: str, path: str, base_name: str) -> None:
        """Loading what is loaded does nothing.

        Raises Conflict when the name is taken, AdapterRejected, NotFound when nothing is stored at `path`, and
        Overloaded when every resident adapter is in use. Then nothing has changed.
        """
        if name in self.models:
            raise Conflict(f"{name!r} is a base model: give the adapter another name.", param="lora_name")
        base = await self.base(base_name)
        async with self._lock(name):
            present = self.adapters.get(name)
            if present is None:
                await self._fetch_and_attach(name, path, base)
            elif (present.path, present.base.name) != (path, base_name):
                raise Conflict(
                    f"{name!r} is loaded from {present.path!r} on {present.base.name!r} already: unload it first.",
                    param="lora_name",
                )

    async def _fetch_and_attach(self, name: str, path: str, base: Base) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache) as scratch:
            folder = Path(scratch) / "adapter"
            try:
                await artifacts.download(self.storage, path, folder, only=FILES)
            except artifacts.Corrupt as error:
                raise AdapterRejected(f"{error}: the stored adapter is damaged.", code="adapter_corrupt") from error
            except (Missing, ValueError) as error:  # ValueError: no key, or no manifest
                raise NotFound(f"There is no adapter under {path!r} ({error}).", param="lora_path") from error
            adapter = Adapter(name, path, base, next(self.slots))
            async with self.room:
                await self._make_room()
                await self.thread.call(lambda networks: networks.get(base).attach(adapter.slot, folder))
                self.adapters[name] = adapter

    async def _make_room(self) -> None:
        """The adapter that was used longest ago leaves, unless somebody still waits for its answer."""
        while len(self.adapters) >= MAX_ADAPTERS:
            idle = [a for a in self.adapters.values() if not self.thread.using(a.base.name, a.slot)]
            if not idle:
                raise Overloaded(f"All {MAX_ADAPTERS} resident adapters are answering: try again in a few seconds.")
            leaving = min(idle, key=lambda adapter: adapter.used)
            del self.adapters[leaving.name]
            await self._detach(leaving)

    async def unload(self, name: str) -> None:
        """Requests that are under way are finished first; new ones no longer find it. Raises NotFound."""
        async with self._lock(name):
            if name not in self.adapters:
                raise NotFound(f"The adapter {name!r} is not loaded.", param="lora_name")
            adapter = self.adapters.pop(name)
            for request in self.thread.using(adapter.base.name, adapter.slot):
                await request.over.wait()
            await self._detach(adapter)

    async def _detach(self, adapter: Adapter) -> None:
        await self.thread.call(lambda networks: networks.get(adapter.base).detach(adapter.slot))

    def _lock(self, name: str) -> asyncio.Lock:
        return self.locks.setdefault(name, asyncio.Lock())
