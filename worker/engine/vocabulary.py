"""What a base's tokenizer knows beyond rendering: single tokens as bytes, and token masks for grammars."""

from functools import cached_property
from typing import TYPE_CHECKING

from fettle.datasets.formats.render import Renderer

if TYPE_CHECKING:
    from llguidance import LLTokenizer


class Vocabulary:
    """Blocking where it is first used: to be used in threads."""

    def __init__(self, renderer: Renderer, ends: frozenset[int]) -> None:
        self.renderer = renderer
        self.ends = ends

    @cached_property
    def guide(self) -> "LLTokenizer":
        from llguidance import LLTokenizer

        return LLTokenizer(self.renderer.tokenizer.to_str(), eos_token=sorted(self.ends))

    def raw(self, token: int) -> bytes:
        """What the token stands for: it may be part of a character. Nothing for an id that is no token."""
        return self.guide.decode_bytes([token]) if token < self.guide.vocab_size else b""
