"""Control tokens such as `<|im_end|>`: the template writes them; inside a message the same characters stay text.

Otherwise whoever writes a message could end their turn and speak for another role. It takes two exchanges of one
character, so no position in the text moves: while the template runs, control tokens in its input begin with a
stand-in. Then the template's own ones get MARK as their first character, stand-ins become what they stand for, and a
tokenizer that knows control tokens by their marked names alone reads the result.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from fettle.errors import TrainingFailed

MARK = "\0"  # neither datasets nor requests may hold it
NONCHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]  # Unicode's: no text needs them

Span = tuple[int, int]  # characters, half open
StandIns = Mapping[str, str]  # a noncharacter that the conversation does not hold → the character it stands for


class ControlTokens:
    """What a tokenizer calls special."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.names = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
        longest_first = sorted(self.names, key=len, reverse=True)  # as tokenizers match them
        names = "|".join(map(re.escape, longest_first)) or r"(?!)"
        self.name = re.compile(names)
        self.beginning = re.compile(f"(?=(?:{names})).", re.DOTALL)  # each of several that overlap

    def stand_ins(self, value: Any) -> StandIns:
        """value: all that the template is to show, as JSON has it. Empty when no control token is in it."""
        found = next((found for text in strings(value) if (found := self.name.search(text))), None)
        if found is None:
            return {}
        wanted = sorted({name[0] for name in self.names})
        free = [mark for mark in NONCHARACTERS if not any(mark in text for text in strings(value))]
        if len(free) < len(wanted):
            raise cannot_stay_text(found[0], "the conversation holds the noncharacters U+FDD0 to U+FDEF as well")
        return dict(zip(free, wanted, strict=False))

    def hidden(self, value: Any, stand_ins: StandIns) -> Any:
        """`value` with no control token left in it."""
        marks = {character: mark for mark, character in stand_ins.items()}
        return mapped(value, lambda text: self.beginning.sub(lambda found: marks[found[0]], text))

    def encode(self, text: str, stand_ins: StandIns) -> tuple[list[int], Sequence[Span]]:
        """ids (T), and the characters of each. text: what the template wrote."""
        if not stand_ins:
            (encoding,) = self.tokenizer.encode_batch([text], add_special_tokens=False)  # lets other threads run
            return list(encoding.ids), encoding.offsets
        marked = shown(self.name.sub(lambda found: MARK + found[0][1:], text), stand_ins)
        (encoding,) = self._marked.encode_batch([marked], add_special_tokens=False)
        for number, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if number not in self._own_ids and marked[begin:end] in self.names:
                raise cannot_stay_text(marked[begin:end], "the tokenizer has no other way to write it")
        return [self._own_ids.get(number, number) for number in encoding.ids], encoding.offsets

    @cached_property
    def _marked(self) -> Tokenizer:
        """The tokenizer, with MARK as the first character of every control token."""
        return Tokenizer.from_str(json.dumps(self._description))

    @cached_property
    def _description(self) -> dict[str, Any]:
        description: dict[str, Any] = json.loads(self.tokenizer.to_str())
        for token in description["added_tokens"]:
            if token["special"]:
                token["content"] = MARK + token["content"][1:]
        return description

    @cached_property
    def _own_ids(self) -> dict[int, int]:
        """Added tokens: id in the marked tokenizer → the tokenizer's own. To the model a marked name is new."""
        ids = ((self._marked.token_to_id(token["content"]), token["id"]) for token in self._description["added_tokens"])
        return {marked: own for marked, own in ids if marked is not None}


def cannot_stay_text(name: str, why: str) -> TrainingFailed:
    return TrainingFailed(
        "control_token_in_text", f"A message holds {name!r}, which cannot stay text: {why}. Take it out.", "messages"
    )


def shown(text: str, stand_ins: StandIns) -> str:
    for mark, character in stand_ins.items():
        text = text.replace(mark, character)
    return text


def strings(value: Any) -> Iterator[str]:
    """Every one in a JSON value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from strings(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from strings(inner)


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(name): mapped(inner, change) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [mapped(inner, change) for inner in value]
    return value
