"""Decoding one batch: rows of one base, each with its own adapter, that join and leave between steps."""

import structlog
import torch
from torch import Tensor

from fettle.errors import FettleError
from worker.engine import metrics
from worker.engine.cache import KeyValues
from worker.engine.completion import Completion
from worker.engine.errors import GenerationFailed
from worker.engine.lora import LoraPlan
from worker.engine.networks import Network
from worker.engine.prefill import Prefill
from worker.engine.requests import Logprob, Piece, Request
from worker.engine.sampling import logprobs, sample

log = structlog.get_logger()

INVALID = -1  # no token: the row's logits are not numbers

Outputs = list[tuple[Request, Piece | FettleError]]


class Batch:
    """B rows, any mixture of adapters and the bare base.

    Rounding apart, a row's logits do not depend on the others: it sees its own positions only, and is multiplied with
    its own adapter only.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.rows: list[Completion] = []
        self.past = KeyValues(network.config.num_hidden_layers, network.device)
        self.ids_B = torch.empty(0, dtype=torch.long, device=network.device)  # written last
        self.plan: LoraPlan | None = None
        self.settled = True
        self.temperature_B = self.top_p_B = torch.empty(0, device=network.device)

    @torch.inference_mode()
    def join(self, prefill: Prefill, outputs: Outputs) -> None:
        """Takes in those whose prompts are read, and writes their first tokens.

        outputs: what there is to tell is added here, so that none of it is lost when the rest fails.
        """
        for number, request in enumerate(prefill.requests):
            if request.cancelled:
                continue
            try:
                self._join(prefill, number, outputs)
            except Exception as error:  # one request's trouble must not cost the others
                outputs.append((request, failed(request, error)))
        self.settled = False

    def _join(self, prefill: Prefill, number: int, outputs: Outputs) -> None:
        request, logits_PV = prefill.requests[number], prefill.logits_PV
        metrics.prompt_tokens.inc(len(request.prompt) - request.cached)
        metrics.cached_tokens.inc(request.cached)
        assert logits_PV is not None  # noqa: S101 — its prompts are read
        rows = [Completion(request, index) for index in range(request.sampling.n)]
        logits_BV = logits_PV[number].expand(len(rows), -1)
        first_B = self._write(rows, logits_BV, *knobs(rows, self.network.device), outputs)
        going = [place for place, row in enumerate(rows) if not row.over]
        if not going:
            return
        ids_B = torch.cat([self.ids_B, first_B[going]])
        width = max(row.request.width for row in [*self.rows, *rows])
        self.past.append(prefill.cache, number, prefill.pads[number], len(going), width)
        self.ids_B = ids_B
        self.rows += [rows[place] for place in going]

    @torch.inference_mode()
    def drop_finished(self) -> None:
        gone = [place for place, row in enumerate(self.rows) if row.over]
        if not gone:
            return
        order = self.past.remove(gone)
        self.rows = [self.rows[place] for place in order]
        self.ids_B = self.ids_B[order]
        self.settled = False

    @torch.inference_mode()
    def step(self, outputs: Outputs) -> None:
        """One token a row. outputs: as for `join`."""
        if not self.settled:  # once, though some may have left and others come
            self._settle()
        logits_BV = self.network.logits(
            self.plan, self.ids_B[:, None], self.past.lengths_B[:, None], self.past.allowed(), self.past.cache
        )
        self.past.advance()
        self.ids_B = self._write(self.rows, logits_BV, self.temperature_B, self.top_p_B, outputs)

    def _settle(self) -> None:
        """What changes only when rows come or go."""
        self.plan = self.network.plan([row.request.slot for row in self.rows], self.plan)
        self.temperature_B, self.top_p_B = knobs(self.rows, self.network.device)
        self.settled = True

    def _write(
        self, rows: list[Completion], logits_BV: Tensor, temperature_B: Tensor, top_p_B: Tensor, outputs: Outputs
    ) -> Tensor:
        """Samples a token for each row, and hands it over. ids_B; 0 where there was none to write."""
        steered_BV = self._steered(rows, logits_BV, outputs)
        uniform = [row.uniform() for row in rows]
        uniform_B = torch.tensor(uniform, dtype=torch.float64, device=logits_BV.device)
        ids_B = sample(steered_BV, temperature_B, top_p_B, uniform_B)
        ids_B = torch.where(logits_BV.amax(-1).isfinite(), ids_B, INVALID)
        metrics.completion_tokens.inc(len(rows))
        details = chosen(rows, logits_BV, ids_B.clamp(min=0))
        for place, (row, token) in enumerate(zip(rows, ids_B.tolist(), strict=True)):
            if not row.over:
                item = take(row, token, details.get(place))
                if item is not None:
                    outputs.append((row.request, item))
        return ids_B.clamp(min=0)

    def _steered(self, rows: list[Completion], logits_BV: Tensor, outputs: Outputs) -> Tensor:
        steered = [place for place, row in enumerate(rows) if row.steered and not row.over]
        if not steered:
            return logits_BV
        logits_BV = logits_BV.clone()  # logprobs are those of the model
        for place in steered:
            try:
                logits_BV[place] = rows[place].steer(logits_BV[place])
            except Exception as error:  # as above
                outputs.append((rows[place].request, failed(rows[place].request, error)))
        return logits_BV


def knobs(rows: list[Completion], device: torch.device) -> tuple[Tensor, Tensor]:
    """temperature_B and top_p_B."""
    temperatures = [row.request.sampling.temperature for row in rows]
    top_ps = [row.request.sampling.top_p for row in rows]
    return (
        torch.tensor(temperatures, dtype=torch.float32, device=device),
        torch.tensor(top_ps, dtype=torch.float64, device=device),
    )


def chosen(rows: list[Completion], logits_BV: Tensor, ids_B: Tensor) -> dict[int, Logprob]:
    """By place, for the rows that want them."""
    places = [place for place, row in enumerate(rows) if row.request.sampling.logprobs is not None]
    if not places:
        return {}
    top = max(rows[place].request.sampling.logprobs or 0 for place in places)
    own_K, ids_KN, best_KN = (tensor.tolist() for tensor in logprobs(logits_BV[places], ids_B[places], top))
    ids_K = ids_B[places].tolist()
    return {
        place: Logprob(
            ids_K[k], own_K[k], tuple(zip(ids_KN[k], best_KN[k], strict=True))[: rows[place].request.sampling.logprobs]
        )
        for k, place in enumerate(places)
    }


def take(row: Completion, token: int, detail: Logprob | None) -> Piece | FettleError | None:
    if token == INVALID:
        row.request.cancelled = True  # with its other rows
        return GenerationFailed(
            "The model's output is not a number. Its weights are damaged, or its training diverged."
        )
    try:
        return row.push(token, detail)
    except Exception as error:  # as above
        return failed(row.request, error)


def failed(request: Request, error: Exception) -> FettleError:
    """What is wrong with one row is outputs to its request alone."""
    request.cancelled = True
    if isinstance(error, FettleError):
        return error
    log.error("request_failed", exc_info=error)
    return GenerationFailed("The engine could not complete this request. Its log has the details.")
