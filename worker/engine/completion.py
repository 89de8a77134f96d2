"""One completion being written: its text so far, what its next token may be, and when it ends."""

from functools import partial

import torch
from torch import Tensor

from worker.engine.requests import FinishReason, Logprob, Piece, Request
from worker.engine.sampling import grammatical, penalised
from worker.engine.text import TextStream


class Completion:
    """Choice `index` of a request."""

    def __init__(self, request: Request, index: int) -> None:
        sampling = request.sampling
        self.request = request
        self.index = index
        decode = partial(request.base.vocabulary.decode, shown=sampling.shown)
        self.text = TextStream(decode if sampling.shown else request.base.renderer.decode, sampling.stops)
        self.tokens = 0
        self.finished = False
        self.logprobs: list[Logprob] = []  # not handed out yet
        self.counts_V: Tensor | None = None  # how often each token was written, where there is a penalty
        self.matcher = sampling.grammar.matcher() if sampling.grammar else None
        self.generator = torch.Generator()  # its own, and on the CPU: the same draws whatever the device and the batch
        if sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(sampling.seed + index)

    @property
    def over(self) -> bool:
        return self.finished or self.request.cancelled

    @property
    def steered(self) -> bool:
        """Whether `steer` has something to change."""
        sampling = self.request.sampling
        return bool(self.matcher or sampling.logit_bias or sampling.frequency_penalty or sampling.presence_penalty)

    def steer(self, logits_V: Tensor) -> Tensor:
        """The logits after penalties, biases and grammar."""
        sampling = self.request.sampling
        if sampling.frequency_penalty or sampling.presence_penalty:
            if self.counts_V is None:
                self.counts_V = torch.zeros_like(logits_V)
            logits_V = penalised(logits_V, self.counts_V, sampling.frequency_penalty, sampling.presence_penalty)
        if sampling.logit_bias:
            ids = torch.tensor(list(sampling.logit_bias), dtype=torch.long, device=logits_V.device)
            biases = torch.tensor(list(sampling.logit_bias.values()), dtype=torch.float32, device=logits_V.device)
            logits_V = logits_V.index_add(0, ids, biases)
        if self.matcher:
            allowed_V = grammatical(self.matcher, len(logits_V))
            logits_V = logits_V.masked_fill(~allowed_V.to(logits_V.device), -torch.inf)
        return logits_V

    def uniform(self) -> float:
        """A number in [0, 1); none is drawn for a greedy row, which needs none."""
        if self.request.sampling.temperature == 0:
            return 0.0
        return torch.rand((), generator=self.generator, dtype=torch.float64).item()

    def push(self, token: int, logprob: Logprob | None = None) -> Piece | None:
        """Takes the next token; None while there is nothing to say yet."""
        self.tokens += 1
        if token in self.request.base.ends:
            return self._finish(self.text.finish(), "stop")
        if logprob is not None:
            self.logprobs.append(logprob)
        if self.counts_V is not None:
            self.counts_V[token] += 1
        if self.matcher:
            self.matcher.take(token)
        text = self.text.push(token)
        if self.text.stopped:
            return self._finish(text, "stop")
        if self.tokens == self.request.sampling.max_tokens:
            text += self.text.finish()
            return self._finish(text, "stop" if self.text.stopped else "length")
        return self._piece(text) if text else None

    def _finish(self, text: str, reason: FinishReason) -> Piece:
        self.finished = True
        return self._piece(text, reason)

    def _piece(self, text: str, reason: FinishReason | None = None) -> Piece:
        logprobs, self.logprobs = tuple(self.logprobs), []
        return Piece(self.index, text, self.tokens, reason, logprobs)
