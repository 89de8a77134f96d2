"""What a base's tokenizer knows beyond rendering: single tokens as bytes, and token masks for grammars."""

import re
from collections.abc import Collection, Iterator, Sequence
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

    def with_control_tokens(self, text: str) -> Iterator[tuple[str, int | None]]:
        """The text cut at the names of control tokens, each of which comes with its id."""
        names = self.renderer.control_tokens.names
        longest_first = sorted(names, key=len, reverse=True)
        for part in re.split(f"({'|'.join(map(re.escape, longest_first))})", text) if names else [text]:
            yield part, self.renderer.tokenizer.token_to_id(part) if part in names else None

    def decode(self, ids: Sequence[int], shown: Collection[int]) -> str:
        """The text, with the names of those control tokens that are to be `shown`."""
        pieces, begin = [], 0
        for position, token in enumerate(ids):
            if token in shown:
                name = str(self.renderer.tokenizer.id_to_token(token))
                pieces += [self.renderer.decode(ids[begin:position]), name]
                begin = position + 1
        return "".join(pieces) + self.renderer.decode(ids[begin:])
