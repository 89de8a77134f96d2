"""What a base's tokenizer knows beyond rendering: text without control tokens, single tokens as bytes, token masks."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from fettle.errors import InvalidRequest
from fettle.formats.render import Message, Renderer

if TYPE_CHECKING:
    from llguidance import LLTokenizer

SPLITTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # noncharacters: no text needs them


class Vocabulary:
    """Blocking where it is first used: to be used in threads."""

    def __init__(self, renderer: Renderer, ends: frozenset[int]) -> None:
        self.renderer = renderer
        self.ends = ends
        added = renderer.tokenizer.get_added_tokens_decoder()
        self.specials = {token.content: number for number, token in added.items() if token.special}
        longest_first = sorted(self.specials, key=len, reverse=True)
        self.special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Ids (T) after which the assistant speaks. Control tokens come from the template alone.

        A `<|im_end|>` that somebody writes into a message stays text, or it could end its turn and speak for another
        role. Messages without one give the renderer's own ids. Raises InvalidRequest.
        """
        if not any(self.special.search(str(message["content"])) for message in messages):
            return self.renderer.prompt(messages)
        splitter = next((s for s in SPLITTERS if not any(s in message["content"] for message in messages)), None)
        if splitter is None:
            raise InvalidRequest("The messages hold every Unicode noncharacter there is.", param="messages")

        def broken(content: str) -> str:
            return self.special.sub(lambda found: splitter.join((found[0][0], found[0][1:])), content)

        text = self.renderer.text([m | {"content": broken(m["content"])} for m in messages], opening=True)
        ids: list[int] = []
        position = 0
        for control in [*self.special.finditer(text), None]:
            plain = text[position : control.start() if control else None].replace(splitter, "")
            ids += self.plain.encode(plain, add_special_tokens=False).ids
            if control:
                ids.append(self.specials[control[0]])
                position = control.end()
        return ids

    @cached_property
    def plain(self) -> Tokenizer:
        """The tokenizer, blind for control tokens."""
        tokenizer = Tokenizer.from_str(self.renderer.tokenizer.to_str())
        tokenizer.encode_special_tokens = True
        return tokenizer

    @cached_property
    def guide(self) -> "LLTokenizer":
        from llguidance import LLTokenizer

        return LLTokenizer(self.renderer.tokenizer.to_str(), eos_token=sorted(self.ends))

    def raw(self, token: int) -> bytes:
        """What the token stands for: it may be part of a character. Nothing for an id that is no token."""
        return self.guide.decode_bytes([token]) if token < self.guide.vocab_size else b""
