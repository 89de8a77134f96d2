"""Text out of token ids, piece by piece."""

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"  # what half a character decodes to


class TextStream:
    """Never gives out half a character, nor the beginning of a stop string; all pieces together are the whole text."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()) -> None:
        self.decode = decode
        self.stops = stops
        self.ids: list[int] = []
        self.context = 0  # a decoder may need earlier tokens (a leading space); these begin here
        self.fresh = 0  # tokens from here on have given no text yet
        self.pending = ""  # may be the beginning of a stop string
        self.stopped = False  # a stop string was met: it and all after it are cut off

    def push(self, token: int) -> str:
        self.ids.append(token)
        return self._until_stop(self._characters(last=False))

    def finish(self) -> str:
        """What was held back."""
        text = self._until_stop(self._characters(last=True))
        if self.stopped:
            return text
        return text + self.pending

    def _characters(self, last: bool) -> str:
        text = self.decode(self.ids[self.context :])
        if text.endswith(REPLACEMENT) and not last:
            return ""
        given = self.decode(self.ids[self.context : self.fresh])
        self.context, self.fresh = self.fresh, len(self.ids)
        return text[len(given) :]

    def _until_stop(self, text: str) -> str:
        self.pending += text
        found = [at for stop in self.stops if (at := self.pending.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self.pending[: min(found)]
        safe = len(self.pending) - max((overlap(self.pending, stop) for stop in self.stops), default=0)
        given, self.pending = self.pending[:safe], self.pending[safe:]
        return given


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop` begins."""
    return next((size for size in range(min(len(text), len(stop)), 0, -1) if text.endswith(stop[:size])), 0)
