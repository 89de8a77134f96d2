"""All that runs on one base: the batch that decodes, and the prompts that are being read for it. It never raises."""

from collections import deque
from collections.abc import Iterable

import structlog

from fettle.errors import FettleError
from worker.engine.admission import Load
from worker.engine.decoding import Batch, Told
from worker.engine.errors import GenerationFailed
from worker.engine.networks import Network
from worker.engine.prefill import ALONE, CHUNK, Prefill
from worker.engine.requests import Request

log = structlog.get_logger()


class Lane:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.batch = Batch(network)
        self.prefill: Prefill | None = None
        self.next: deque[list[Request]] = deque()  # whose prompts are to be read together

    @property
    def reading(self) -> bool:
        return bool(self.prefill or self.next)

    @property
    def idle(self) -> bool:
        return not (self.reading or self.batch.rows)

    @property
    def load(self) -> Load:
        rows = [row.request.width for row in self.batch.rows]
        rows += [r.width for r in self._read_for for _ in range(r.sampling.n)]
        return Load(len(rows), max(rows, default=0))

    @property
    def _read_for(self) -> list[Request]:
        reading = self.prefill.requests if self.prefill else []
        return [*reading, *(request for group in self.next for request in group)]

    @property
    def requests(self) -> set[Request]:
        return {*(row.request for row in self.batch.rows), *self._read_for}

    def admit(self, requests: list[Request]) -> None:
        self.next.append(requests)

    def leave(self) -> Told:
        """Rows that have ended, or that nobody waits for any more, go."""
        try:
            self.batch.drop_finished()
        except Exception as error:
            return self._broken(error)
        return []

    def advance(self) -> Told:
        """Reads at most one chunk of prompts, then writes one token a row."""
        told: Told = []
        prefill = self._read(told)
        try:
            if prefill:
                told += self.batch.join(prefill)
            if self.batch.rows:
                told += self.batch.step()
        except Exception as error:
            told += self._broken(error)
        return told

    def _read(self, told: Told) -> Prefill | None:
        """A prefill whose prompts are read."""
        requests = self.prefill.requests if self.prefill else []
        try:
            if self.prefill is None and self.next:
                requests = [request for request in self.next.popleft() if not request.cancelled]
                self.prefill = Prefill(self.network, requests) if requests else None
            done = None
            if self.prefill and (self.prefill.cancelled or self.prefill.advance(CHUNK if self.batch.rows else ALONE)):
                done, self.prefill = self.prefill, None
            return done
        except Exception as error:
            self.prefill = None
            log.error("prompts_not_read", requests=len(requests), exc_info=error)
            if len(requests) > 1:  # one of them may be to blame: each gets a chance of its own
                self.next.extendleft([request] for request in reversed(requests))
            else:
                told += failures(requests, error)
            return None

    def _broken(self, error: Exception) -> Told:
        """Whoever was in the batch is told; who comes next finds a fresh one."""
        log.error("batch_failed", rows=len(self.batch.rows), exc_info=error)
        requests = {row.request for row in self.batch.rows if not row.over}
        self.batch = Batch(self.network)
        return failures(requests, error)


def failures(requests: Iterable[Request], error: Exception) -> Told:
    if not isinstance(error, FettleError):
        error = GenerationFailed("The engine could not decode this request; its log has the details.")
    for request in requests:
        request.cancelled = True
    return [(request, error) for request in requests]
