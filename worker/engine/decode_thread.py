"""The one thread that decodes: a step of every base that has work, and again; between steps it takes in and lets go.

torch and transformers are imported there, which takes seconds: /health answers before that, and the event loop never
waits. Bases and adapters are read by other threads; they are handed over between two steps.
"""

import asyncio
import gc
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from fettle.errors import FettleError, Unavailable
from worker.engine import metrics
from worker.engine.admission import MAX_POSITIONS, admit
from worker.engine.errors import Overloaded
from worker.engine.requests import Piece, Request

if TYPE_CHECKING:
    from worker.engine.networks import Network
    from worker.engine.scheduler import BaseScheduler

log = structlog.get_logger()

MAX_WAITING = 256  # requests; more would wait longer than their clients do
STOP_SECONDS = 2  # for the step under way; a thread that is still importing is left behind

T = TypeVar("T")
Call = tuple[Callable[[], Any], Future[Any]]


class DecodeThread:
    def __init__(self, threads: int) -> None:
        """Starts at once; to be made on the event loop. threads: of torch, inside one operation."""
        self.threads = threads
        self.loop = asyncio.get_running_loop()
        self.changed = threading.Condition()
        self.waiting: deque[Request] = deque()
        self.calls: deque[Call] = deque()
        self.stopping = False
        self.networks: dict[str, Network] = {}  # by base; changed between steps only
        self.schedulers: dict[str, BaseScheduler] = {}  # those that have work
        self.steps = 0
        self.rows = 0  # that the last step wrote
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
                metrics.requests.labels("refused").inc()
                raise Overloaded(f"The engine's queue is full ({MAX_WAITING} requests). Try again in a few seconds.")
            self.waiting.append(request)
            self.changed.notify()
        self.live.add(request)

    async def call(self, work: Callable[[], T]) -> T:
        """Runs `work`, which should be short, on the thread between two steps. Raises what it raises."""
        future: Future[T] = Future()
        with self.changed:
            self._must_live()
            self.calls.append((work, future))
            self.changed.notify()
        return await asyncio.wrap_future(future)

    def using(self, base: str, slot: str | None = None) -> list[Request]:
        """Requests that are not over and want this base, or this adapter on it."""
        live = (request for request in self.live if not request.over.is_set())
        return [request for request in live if request.base.name == base and slot in (None, request.slot)]

    async def stop(self) -> None:
        with self.changed:
            self.stopping = True
            self.changed.notify()
        await asyncio.to_thread(self.thread.join, STOP_SECONDS)

    def _must_live(self) -> None:
        if self.stopping or not self.alive:
            raise Unavailable(
                "The engine is stopping, or its decode thread has stopped. Restart the engine if this persists."
            )

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # no traceback of a thread reaches the log by itself
            log.critical("decode_thread_died", exc_info=error)  # /health says so from now on
        finally:
            self._abandon()

    def _serve(self) -> None:
        gc.disable()  # while the libraries load
        import torch

        from worker.engine.prefixes import MAX_KEPT, divide
        from worker.engine.scheduler import BaseScheduler

        torch.set_num_threads(self.threads)
        gc.freeze()  # the libraries' million objects: every full collection would stop the whole process to walk them
        gc.enable()
        while True:
            with self.changed:
                self.changed.wait_for(lambda: bool(self.stopping or self.calls or self.waiting or self.schedulers))
                if self.stopping:
                    return
                calls, self.calls = self.calls, deque()
            for call in calls:
                perform(call)
            outputs = [item for scheduler in self.schedulers.values() for item in scheduler.leave()]
            with self.changed:
                loads = {base: scheduler.load for base, scheduler in self.schedulers.items()}
                reading = [base for base, scheduler in self.schedulers.items() if scheduler.full]
                running = [request for scheduler in self.schedulers.values() for request in scheduler.requests]
                admitted = admit(self.waiting, loads, reading, running)
                for base, requests in admitted.items():
                    if base not in self.schedulers:
                        self.schedulers[base] = BaseScheduler(self.networks[base])
                    self.schedulers[base].admit(requests)
            held = sum(scheduler.load.positions for scheduler in self.schedulers.values())
            prefixes = [network.prefixes for network in self.networks.values()]
            divide(prefixes, max(0, min(MAX_KEPT, MAX_POSITIONS - held)))
            for scheduler in self.schedulers.values():
                outputs += scheduler.advance()
            self._count()
            self.schedulers = {base: scheduler for base, scheduler in self.schedulers.items() if not scheduler.idle}
            if outputs:
                self._send(outputs)

    def _count(self) -> None:
        self.rows = sum(len(scheduler.batch.rows) for scheduler in self.schedulers.values())
        if self.schedulers:
            self.steps += 1
            metrics.steps.inc()

    def _send(self, outputs: list[tuple[Request, Piece | FettleError]]) -> None:
        self.loop.call_soon_threadsafe(hand_out, outputs)

    def _abandon(self) -> None:
        """Nobody waits for a thread that has ended."""
        with self.changed:
            self.stopping = True
            left = [
                *self.waiting,
                *(request for scheduler in self.schedulers.values() for request in scheduler.requests),
            ]
            calls, self.waiting, self.schedulers = self.calls, deque(), {}
        gone = Unavailable("The engine stopped before the response was complete.")
        for _, future in calls:
            if future.set_running_or_notify_cancel():
                future.set_exception(gone)
        if not self.loop.is_closed():
            self._send([(request, gone) for request in left])


def perform(call: Call) -> None:
    work, future = call
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except Exception as error:  # the caller raises it
        future.set_exception(error)


def hand_out(outputs: list[tuple[Request, Piece | FettleError]]) -> None:
    for request, item in outputs:
        request.receive(item)
