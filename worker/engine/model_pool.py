"""What the engine can answer with: the catalog's bases, and the adapters that were loaded. Event loop only.

Here are the names, who was used last, and who leaves when there is no room. Weights are read in threads of their own
and handed to the decode thread between two of its steps.
"""

import asyncio
import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog
from pydantic import SecretStr

from fettle.datasets.formats.render import Renderer
from fettle.errors import Conflict, NotFound, TrainingFailed, Unavailable
from fettle.host import cpu
from fettle.host.memory import machine_memory
from fettle.registry import catalog
from fettle.registry.catalog import BaseModelEntry, Catalog
from fettle.storage import Missing, Storage, artifacts, stale_files
from worker.engine.decode_thread import DecodeThread
from worker.engine.errors import AdapterRejected, Overloaded, UnknownModel
from worker.engine.recent_adapters import SHARE, RecentAdapters
from worker.engine.requests import Base
from worker.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from worker.engine.adapters import Weights
    from worker.engine.networks import Network

log = structlog.get_logger()

# Rank 16 on every linear layer of an 8 B model is 84 MB in bf16: 32 of them take 2.7 GB beside the base's 16 GB
MAX_ADAPTERS = 32
IDLE_SECONDS = 30  # for which a load waits until one of them is idle
RESERVED_SECONDS = 5  # for which an adapter that was just loaded waits for the request that it was loaded for
LOOK_SECONDS = 0.01
MAX_BASES = 4  # with weights in memory; the one used longest ago makes room for another
FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass
class Adapter:
    name: str
    path: str
    base: Base
    slot: str  # what the base's network knows it by: names hold what module names may not, and may come back
    scores: bool = False  # a reward model
    created: int = field(default_factory=lambda: int(time.time()))
    used: float = field(default_factory=time.monotonic)
    reserved_until: float = field(default_factory=lambda: time.monotonic() + RESERVED_SECONDS)  # or its first request


class Pool:
    def __init__(
        self,
        models: Catalog,
        storage: Storage,
        cache: Path,
        thread: DecodeThread,
        hub_token: SecretStr | None = None,
        *,
        cpu_bf16: bool = False,
    ) -> None:
        self.models = models
        self.cpu_bf16 = cpu_bf16
        self.hub_token = hub_token
        self.storage = storage
        self.cache = cache
        stale_files.sweep(cache, "tmp*")
        self.thread = thread
        self.bases: dict[str, Base] = {}
        self.entries: dict[str, BaseModelEntry] = {}  # what they were read from
        self.resident: dict[str, Network] = {}  # bases with weights in memory, by name
        self.reading: dict[str, asyncio.Task[Network]] = {}  # those that are on their way there
        self.used: dict[str, float] = {}  # when each of them was last asked for
        self.pinned: Counter[str] = Counter()  # bases that an adapter is just being read for
        self.adapters: dict[str, Adapter] = {}
        self.slots = (f"slot{number:08d}" for number in itertools.count())
        self.locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # one a name
        self.room = asyncio.Lock()  # one adapter at a time gets a place
        self.base_room = asyncio.Lock()
        self.recent = RecentAdapters(machine_memory() // SHARE)

    async def base(self, name: str) -> Base:
        """Its tokenizer and template, without the weights. Raises NotFound, Unavailable."""
        async with self._lock(name):
            entry = catalog.find(self.models, name, "base_model_name")
            if name not in self.bases or self.entries[name] != entry:
                await self._forget_base(name)
                folder = await asyncio.to_thread(catalog.local_path, entry, self.hub_token)
                try:
                    self.bases[name] = await asyncio.to_thread(read_base, name, folder, entry.length)
                except TrainingFailed as failure:
                    raise Unavailable(failure.message) from failure
                self.entries[name] = entry
            return self.bases[name]

    async def _forget_base(self, name: str) -> None:
        """Where another model has come under the name: requests that are under way are finished first."""
        if self.bases.pop(name, None) is None or name not in self.resident:
            return
        for request in self.thread.using(name):
            await request.over.wait()
        del self.resident[name]
        self.recent.forget_base(name)
        self.adapters = {label: adapter for label, adapter in self.adapters.items() if adapter.base.name != name}
        await self.thread.call(partial(self.thread.networks.pop, name))

    async def network(self, base: Base) -> "Network":
        """Its weights, read if they are not in memory; others are decoded meanwhile. Raises Unavailable, Overloaded."""
        self.used[base.name] = time.monotonic()
        if base.name in self.resident:
            return self.resident[base.name]
        if base.name not in self.reading:
            reading = self.reading[base.name] = asyncio.create_task(self._read_network(base))
            reading.add_done_callback(partial(self._read_over, base.name))
        return await asyncio.shield(self.reading[base.name])  # a client that leaves does not undo it for the next one

    def _read_over(self, name: str, reading: "asyncio.Task[Network]") -> None:
        del self.reading[name]
        if not reading.cancelled() and (error := reading.exception()):
            log.warning("base_not_read", base=name, error=str(error))  # whoever waits for it is told as well

    async def _read_network(self, base: Base) -> "Network":
        await self.thread.call(lambda: None)  # torch is imported there, and not twice at once
        async with self.base_room:
            await self._make_room_for_base()
        network = await asyncio.to_thread(read_network, base, cpu_bf16=self.cpu_bf16 and cpu.bf16_pays(base.folder))
        await self.thread.call(lambda: self.thread.networks.update({base.name: network}))
        self.resident[base.name] = network
        return network

    async def find(self, name: str) -> tuple[Base, Adapter | None]:
        """Raises UnknownModel."""
        if name in self.models:
            return await self.base(name), None
        if name not in self.adapters:
            raise UnknownModel(name)
        adapter = self.adapters[name]
        adapter.used = time.monotonic()
        return adapter.base, adapter

    def holds(self, adapter: Adapter) -> bool:
        return self.adapters.get(adapter.name) is adapter

    async def load(self, name: str, path: str, base_name: str) -> None:
        """Loading what is loaded does nothing.

        Raises Conflict when the name is taken, AdapterRejected, NotFound when nothing is stored at `path`, and
        Overloaded when every resident adapter is in use. Then nothing has changed.
        """
        if name in self.models:
            raise Conflict(f"{name!r} is a base model. Give the adapter another name.", param="lora_name")
        base = await self.base(base_name)
        async with self._lock(name):
            present = self.adapters.get(name)
            if present is None:
                with self._pin(base_name):
                    await self._attach(name, path, base)
            elif (present.path, present.base.name) != (path, base_name):
                raise Conflict(
                    f"{name!r} is already loaded from {present.path!r} on {present.base.name!r}. Unload it first.",
                    param="lora_name",
                )

    async def _attach(self, name: str, path: str, base: Base) -> None:
        network = await self.network(base)
        weights = self.recent.take((name, path, base.name))
        if weights is None:
            weights = await self._fetch(path, network)
        else:
            weights = await asyncio.to_thread(weights.on, network.device)
        adapter = Adapter(name, path, base, next(self.slots), scores=weights.head_D is not None)
        async with self.room:
            await self._make_room()
            await self.thread.call(lambda: network.attach(adapter.slot, weights))
            self.adapters[name] = adapter

    async def _fetch(self, path: str, network: "Network") -> "Weights":
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache) as scratch:
            folder = Path(scratch) / "adapter"
            try:
                await artifacts.download(self.storage, path, folder, only=FILES)
            except artifacts.Corrupt as error:
                raise AdapterRejected(f"The stored adapter is damaged: {error}.", code="adapter_corrupt") from error
            except (Missing, ValueError) as error:  # ValueError: no key, or no manifest
                raise NotFound(f"There is no adapter at {path!r} ({error}).", param="lora_path") from error
            return await asyncio.to_thread(network.read, folder)

    async def _make_room(self) -> None:
        """The adapter that was used longest ago leaves, once nobody waits for its answer any more."""
        give_up = time.monotonic() + IDLE_SECONDS
        while len(self.adapters) >= MAX_ADAPTERS:
            idle = self._idle()
            if idle:
                leaving = min(idle, key=lambda adapter: adapter.used)
                del self.adapters[leaving.name]
                weights = await self._detach(leaving)
                if weights is not None:
                    on_host = await asyncio.to_thread(weights.on, "cpu")
                    self.recent.put((leaving.name, leaving.path, leaving.base.name), on_host)
            elif time.monotonic() > give_up:
                raise Overloaded(f"All {MAX_ADAPTERS} loaded adapters are in use. Try again in a few seconds.")
            else:
                await asyncio.sleep(LOOK_SECONDS)

    def _idle(self) -> list[Adapter]:
        now = time.monotonic()
        return [
            adapter
            for adapter in self.adapters.values()
            if adapter.reserved_until < now and not self.thread.using(adapter.base.name, adapter.slot)
        ]

    async def _make_room_for_base(self) -> None:
        """The idle base that was used longest ago leaves, and its adapters with it."""
        while len(self.resident) + len(self.reading) > MAX_BASES:  # the one that makes room is counted already
            idle = [name for name in self.resident if not (self.pinned[name] or self.thread.using(name))]
            if not idle:
                raise Overloaded(f"All {MAX_BASES} loaded base models are in use. Try again in a few seconds.")
            leaving = min(idle, key=lambda name: self.used[name])
            del self.resident[leaving]
            self.recent.forget_base(leaving)
            self.adapters = {name: a for name, a in self.adapters.items() if a.base.name != leaving}
            await self.thread.call(partial(self.thread.networks.pop, leaving))

    async def unload(self, name: str) -> None:
        """Requests that are under way are finished first; new ones no longer find it. Raises NotFound."""
        async with self._lock(name):
            self.recent.forget(name)
            if name not in self.adapters:
                raise NotFound(f"The adapter {name!r} is not loaded.", param="lora_name")
            adapter = self.adapters.pop(name)
            for request in self.thread.using(adapter.base.name, adapter.slot):
                await request.over.wait()
            await self._detach(adapter)

    async def _detach(self, adapter: Adapter) -> "Weights | None":
        network = self.resident.get(adapter.base.name)
        return None if network is None else await self.thread.call(lambda: network.detach(adapter.slot))

    @contextmanager
    def _pin(self, base: str) -> Iterator[None]:
        self.pinned[base] += 1
        try:
            yield
        finally:
            self.pinned[base] -= 1

    def _lock(self, name: str) -> asyncio.Lock:
        return self.locks.setdefault(name, asyncio.Lock())


def read_base(name: str, folder: Path, length: int) -> Base:
    """Raises TrainingFailed when there is no tokenizer or template to read."""
    renderer = Renderer(folder)
    file = folder / "generation_config.json"
    also = json.loads(file.read_text()).get("eos_token_id") if file.is_file() else None
    ends = frozenset({renderer.eos_id, *(also if isinstance(also, list) else [also])} - {None})
    return Base(name, folder, length, renderer, ends, Vocabulary(renderer, ends))


def read_network(base: Base, *, cpu_bf16: bool) -> "Network":
    from worker.engine.networks import Network

    return Network(base, cpu_bf16=cpu_bf16)
