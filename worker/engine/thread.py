"""The one thread that touches weights: it attaches, detaches and decodes, so that no two of these ever overlap.

With a single thread a request cannot be answered by an adapter that somebody else switched to meanwhile. torch and
transformers are imported there too, which takes seconds: /health answers before that, and the event loop never waits.
"""

import asyncio
import gc
import threading
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from fettle.errors import FettleError, Unavailable
from worker.engine.admission import admit
from worker.engine.errors import GenerationFailed, Overloaded
from worker.engine.requests import Piece, Request

if TYPE_CHECKING:
    from worker.engine.decoding import Batch
    from worker.engine.networks import Networks

log = structlog.get_logger()

MAX_WAITING = 256  # requests; more would wait longer than their clients do
STOP_SECONDS = 2  # for the step under way; a thread that is still importing is left behind

T = TypeVar("T")
Call = tuple[Callable[["Networks"], Any], Future[Any]]


class DecodeThread:
    def __init__(self, threads: int) -> None:
        """Starts at once; to be made on the event loop. threads: of torch, inside one operation."""
        self.threads = threads
        self.loop = asyncio.get_running_loop()
        self.changed = threading.Condition()
        self.waiting: deque[Request] = deque()
        self.calls: deque[Call] = deque()
        self.stopping = False
        self.batch: Batch | None = None
        self.steps = 0
        self.live: set[Request] = set()  # event loop only
        self.thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self.thread.start()

    @property
    def alive(self) -> bool:
        return self.thread.is_alive()

    def submit(self, request: Request) -> None:
        """Queues a request. Raises Overloaded, or Unavailable when the thread is dead."""
        self.live = {other for other in self.live if not other.over.is_set()}
        with self.changed:
            self._must_live()
            if len(self.waiting) >= MAX_WAITING:
                self.waiting = deque(other for other in self.waiting if not other.cancelled)
            if len(self.waiting) >= MAX_WAITING:
                raise Overloaded(f"{MAX_WAITING} requests are waiting already: try again in a few seconds.")
            self.waiting.append(request)
            self.changed.notify()
        self.live.add(request)

    async def call(self, work: Callable[["Networks"], T]) -> T:
        """Runs `work` on the thread, between two steps. Raises what it raises."""
        future: Future[T] = Future()
        with self.changed:
            self._must_live()
            self.calls.append((work, future))
            self.changed.notify()
        return await asyncio.wrap_future(future)

    def using(self, base: str, slot: str) -> list[Request]:
        """Requests that are not over and want this adapter."""
        return [request for request in self.live if request.key == (base, slot) and not request.over.is_set()]

    async def stop(self) -> None:
        with self.changed:
            self.stopping = True
            self.changed.notify()
        await asyncio.to_thread(self.thread.join, STOP_SECONDS)

    def _must_live(self) -> None:
        if self.stopping or not self.alive:
            raise Unavailable("The engine is stopping, or its decode thread has died: restart it if it stays so.")

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            log.critical("decode_thread_died", exc_info=error)  # /health says so from now on
        finally:
            self._abandon()

    def _serve(self) -> None:
        import torch

        from worker.engine.networks import Networks

        torch.set_num_threads(self.threads)
        gc.freeze()  # the libraries' million objects: every full collection would stop the whole process to walk them
        networks = Networks()
        while True:
            with self.changed:
                self.changed.wait_for(lambda: bool(self.stopping or self.calls or self.waiting or self.batch))
                if self.stopping:
                    return
                calls, self.calls = self.calls, deque()
                admitted = [] if self.batch else admit(self.waiting)
            for call in calls:
                perform(call, networks)
            if admitted:
                self._begin(admitted, networks)
            if self.batch:
                self._advance(self.batch)

    def _begin(self, admitted: list[Request], networks: "Networks") -> None:
        from worker.engine.decoding import Batch

        try:
            self.batch = Batch(networks.get(admitted[0].base), admitted)
        except Exception as error:
            log.error("batch_not_begun", base=admitted[0].base.name, exc_info=error)
            self._fail(admitted, error)

    def _advance(self, batch: "Batch") -> None:
        batch.drop_finished()
        if not batch.rows:
            self.batch = None
            return
        try:
            told = batch.step()
        except Exception as error:
            log.error("batch_failed", base=batch.rows[0].request.base.name, exc_info=error)
            self.batch = None
            self._fail({row.request for row in batch.rows}, error)
            return
        self.steps += 1
        if told:
            self._tell(told)

    def _fail(self, requests: Collection[Request], error: Exception) -> None:
        if not isinstance(error, FettleError):
            error = GenerationFailed("The engine could not decode this request; its log has the details.")
        self._tell([(request, error) for request in requests])

    def _tell(self, told: list[tuple[Request, Piece | FettleError]]) -> None:
        self.loop.call_soon_threadsafe(hand_out, told)

    def _abandon(self) -> None:
        """Nobody waits for a thread that has ended."""
        with self.changed:
            self.stopping = True
            left = [*self.waiting, *({row.request for row in self.batch.rows} if self.batch else ())]
            calls, self.waiting, self.batch = self.calls, deque(), None
        gone = Unavailable("The engine stopped before it could answer.")
        for _, future in calls:
            if future.set_running_or_notify_cancel():
                future.set_exception(gone)
        if not self.loop.is_closed():
            self._tell([(request, gone) for request in left])


def perform(call: Call, networks: "Networks") -> None:
    work, future = call
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work(networks))
    except Exception as error:
        future.set_exception(error)


def hand_out(told: list[tuple[Request, Piece | FettleError]]) -> None:
    for request, item in told:
        request.receive(item)
