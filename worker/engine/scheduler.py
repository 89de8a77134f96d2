"""All that runs on one base: the batch that decodes, and the prompts that are being read for it. It never raises."""

from collections import deque
from collections.abc import Iterable

import structlog

from fettle.errors import FettleError
from worker.engine.admission import Load, padded
from worker.engine.decoding import Batch, Outputs
from worker.engine.errors import GenerationFailed
from worker.engine.networks import Network
from worker.engine.prefill import ALONE, CHUNK, Prefill
from worker.engine.prefixes import BLOCK, Prefixes
from worker.engine.requests import Request

log = structlog.get_logger()


MAX_READING = 2  # groups of prompts


class BaseScheduler:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.batch = Batch(network)
        self.prefills: deque[Prefill] = deque()  # they take turns, so that a short prompt need not wait for a long one
        self.next: deque[list[Request]] = deque()  # whose prompts are to be read together

    @property
    def reading(self) -> bool:
        return bool(self.prefills or self.next)

    @property
    def full(self) -> bool:
        """Whether so many prompts are being read that more would only slow each other down."""
        return len(self.prefills) + len(self.next) >= MAX_READING

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
        groups = [*(prefill.requests for prefill in self.prefills), *self.next]
        return [request for group in groups for request in group]

    @property
    def requests(self) -> set[Request]:
        return {*(row.request for row in self.batch.rows), *self._read_for}

    def admit(self, requests: list[Request]) -> None:
        self.next.append(requests)

    def leave(self) -> Outputs:
        """Rows that have ended, or that nobody waits for any more, go."""
        try:
            self.batch.drop_finished()
        except Exception as error:  # of torch, of a tokenizer, of us: this batch pays, not the thread
            return self._broken(error)
        return []

    def advance(self) -> Outputs:
        """Reads at most one chunk of prompts, then writes one token a row."""
        outputs: Outputs = []
        prefill = self._read(outputs)
        try:
            if prefill:
                self.batch.join(prefill, outputs)
            if self.batch.rows:
                self.batch.step(outputs)
        except Exception as error:  # as above
            outputs += self._broken(error)
        return outputs

    def _read(self, outputs: Outputs) -> Prefill | None:
        """One chunk of the prompts whose turn it is. Gives their prefill when they are read, or nobody wants them."""
        requests: list[Request] = []
        try:
            if self.next:
                requests = [request for request in self.next.popleft() if not request.cancelled]
                requests, *others = alike(requests, self.network.prefixes)
                self.next.extendleft(reversed(others))
                if requests:
                    self.prefills.append(Prefill(self.network, requests))
            if not self.prefills:
                return None
            prefill = self.prefills.popleft()
            requests = prefill.requests
            if prefill.cancelled or prefill.advance(CHUNK if self.batch.rows else ALONE):
                return prefill
            self.prefills.append(prefill)
        except Exception as error:  # as above
            log.error("prompts_not_read", requests=len(requests), exc_info=error)
            if len(requests) > 1:  # one of them may be to blame: each gets a chance of its own
                self.next.extendleft([request] for request in reversed(requests))
            else:
                outputs += failures(requests, error)
        return None

    def _broken(self, error: Exception) -> Outputs:
        """Whoever was in the batch is outputs; who comes next finds a fresh one."""
        log.error("batch_failed", rows=len(self.batch.rows), exc_info=error)
        requests = {row.request for row in self.batch.rows if not row.over}
        self.batch = Batch(self.network)
        return failures(requests, error)


def alike(requests: list[Request], prefixes: Prefixes) -> list[list[Request]]:
    """In groups whose prompts have about as much left to be read; at least one group."""
    left = {request: len(request.prompt) - BLOCK * len(prefixes.find(request)) for request in requests}
    if not requests or not padded([*left.values()]):
        return [requests]
    groups: list[list[Request]] = [[]]
    for request in sorted(requests, key=left.__getitem__):
        if padded([left[each] for each in (*groups[-1], request)]):
            groups.append([])
        groups[-1].append(request)
    return groups


def failures(requests: Iterable[Request], error: Exception) -> Outputs:
    if not isinstance(error, FettleError):
        error = GenerationFailed("The engine could not complete this request. Its log has the details.")
    for request in requests:
        request.cancelled = True
    return [(request, error) for request in requests]
