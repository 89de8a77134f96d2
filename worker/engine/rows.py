"""One completion being written: its text so far, and when it ends."""

import torch

from worker.engine.requests import FinishReason, Piece, Request
from worker.engine.text import TextStream


class Row:
    """Choice `index` of a request."""

    def __init__(self, request: Request, index: int) -> None:
        sampling = request.sampling
        self.request = request
        self.index = index
        self.text = TextStream(request.base.renderer.decode, sampling.stops)
        self.tokens = 0
        self.finished = False
        self.generator = torch.Generator()  # its own, and on the CPU: the same draws whatever the device and the batch
        if sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(sampling.seed + index)

    @property
    def over(self) -> bool:
        return self.finished or self.request.cancelled

    def uniform(self) -> float:
        """A number in [0, 1); none is drawn for a greedy row, which needs none."""
        if self.request.sampling.temperature == 0:
            return 0.0
        return torch.rand((), generator=self.generator, dtype=torch.float64).item()

    def push(self, token: int, ends: frozenset[int]) -> Piece | None:
        """Takes the next token; None while there is nothing to say yet."""
        self.tokens += 1
        if token in ends:
            return self._finish(self.text.finish(), "stop")
        text = self.text.push(token)
        if self.text.stopped:
            return self._finish(text, "stop")
        if self.tokens == self.request.sampling.max_tokens:
            text += self.text.finish()
            return self._finish(text, "stop" if self.text.stopped else "length")
        return Piece(self.index, text, self.tokens) if text else None

    def _finish(self, text: str, reason: FinishReason) -> Piece:
        self.finished = True
        return Piece(self.index, text, self.tokens, reason)
