"""One renderer from chat messages to token ids and loss mask, for previewing, training and serving alike.

It reads a base model's own tokenizer.json and chat template, without transformers: what is previewed is what is trained
is what is served. Control tokens are the template's alone: in a message they stay text. Only what the assistant says is
supervised. A template that marks it with `{% generation %}` says so itself;
for one that does not, an assistant's turn is what rendering the conversation with it adds to rendering it without.
A template that rewrites earlier turns (Qwen3 drops their reasoning) shows them in another way than they were served
when they were said: each such turn is learned from a sequence of its own, which ends with it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from tokenizers import Tokenizer

from fettle.datasets.formats import dropped_text
from fettle.datasets.formats.control_tokens import MARK, ControlTokens, Span, StandIns, shown
from fettle.datasets.formats.template import chat_template, environment, shown_by, token_text
from fettle.errors import TrainingFailed

Message = dict[str, Any]
USER: Message = {"role": "user", "content": "a"}
HISTORIES: tuple[list[Message], ...] = (  # conversations by which a template shows whether it rewrites earlier turns
    [USER, {"role": "assistant", "content": "b"}, USER, {"role": "assistant", "content": "c"}],
    [USER, {"role": "assistant", "content": "<think>\nr\n</think>\n\nb"}, USER, {"role": "assistant", "content": "c"}],
    [
        {"role": "system", "content": "s"},
        USER,
        {"role": "assistant", "content": "b"},
        USER,
        {"role": "assistant", "content": "c"},
    ],
)
Variables = dict[str, Any]  # of the chat template, such as `tools`


@dataclass(frozen=True)
class Rendered:
    """ids (T) and whether the loss counts each of them (T)."""

    ids: list[int]
    supervised: list[bool]

    @property
    def lessons(self) -> int:
        """How many tokens the loss counts: nothing predicts the first."""
        return sum(self.supervised[1:])


class Renderer:
    """The tokenizer and chat template of one base model."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.control_tokens = ControlTokens(self.tokenizer)
        config = json.loads((folder / "tokenizer_config.json").read_text())
        self.template_text = chat_template(folder)
        if not self.template_text:
            raise TrainingFailed(
                "no_chat_template", f"The base model in {folder.name!r} has no chat template.", "model"
            )
        self.special = {key: token_text(config[key]) for key in ("bos_token", "eos_token") if config.get(key)}
        self.eos_id = self._id(config, "eos_token")
        self.pad_id = self._id(config, "pad_token") if config.get("pad_token") else self.eos_id

    def _id(self, config: dict[str, Any], key: str) -> int:
        if not config.get(key):
            raise TrainingFailed(
                "bad_tokenizer", f"The base model's tokenizer_config.json does not set {key}.", "model"
            )
        token = token_text(config[key])
        found: int | None = self.tokenizer.token_to_id(token)
        if found is None:
            raise TrainingFailed("bad_tokenizer", f"The tokenizer's {key} {token!r} is not in its vocabulary.", "model")
        return found

    @cached_property
    def template(self) -> jinja2.Template:
        return environment().from_string(self.template_text)

    @cached_property
    def shows(self) -> frozenset[str]:
        return shown_by(self.template_text)

    @cached_property
    def rewrites(self) -> bool:
        """Whether the template may show an earlier turn in another way than it was served."""
        return not all(self._keeps(messages) for messages in HISTORIES)

    def _keeps(self, messages: Sequence[Message]) -> bool:
        try:
            whole = self._text(messages, {})
            places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
            return all(self._turn(whole, messages, place, {}) is not None for place in places)
        except (jinja2.TemplateError, TypeError):
            return False

    @property
    def marks_generation(self) -> bool:
        return "endgeneration" in self.template_text

    def _guarded(
        self, messages: Sequence[Message], variables: Variables
    ) -> tuple[Sequence[Message], Variables, StandIns]:
        """As the template is to get them."""
        stand_ins = self.control_tokens.stand_ins([messages, variables])
        if stand_ins:
            messages, variables = self.control_tokens.hidden([messages, variables], stand_ins)
        return messages, variables, stand_ins

    def _marked_text(self, messages: Sequence[Message], variables: Variables, opening: bool = False) -> str:
        value = {"tools": None, "documents": None, **self.special, **variables}  # as transformers: none, not undefined
        return self.template.render(messages=list(messages), add_generation_prompt=opening, **value)

    def _text(self, messages: Sequence[Message], variables: Variables, opening: bool = False) -> str:
        return self._marked_text(messages, variables, opening).replace(MARK, "")

    def text(self, messages: Sequence[Message], *, opening: bool = False, **variables: Any) -> str:
        """The conversation as text; `opening` adds the beginning of the assistant's next turn."""
        messages, variables, stand_ins = self._guarded(messages, variables)
        return shown(self._text(messages, variables, opening), stand_ins)

    def prompt(self, messages: Sequence[Message], *, ahead: str = "", **variables: Any) -> list[int]:
        """Ids (T) after which the assistant speaks. ahead: with what its answer begins, control tokens and all."""
        messages, variables, stand_ins = self._guarded(messages, variables)
        return self.control_tokens.encode(self._text(messages, variables, opening=True) + ahead, stand_ins)[0]

    def after(self, messages: Sequence[Message], hidden: str, **variables: Any) -> list[int]:
        """Ids (T) from the end of the turn in which `hidden` stands last, up to where the assistant speaks next."""
        messages, variables, stand_ins = self._guarded(messages, variables)
        text = self._text(messages, variables, opening=True)
        end = self.control_tokens.name.search(text, text.rindex(hidden))
        if end is None:
            raise unsupported("does not end the assistant's turns with a control token")
        return self.control_tokens.encode(text[end.end() :], stand_ins)[0]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def render(self, messages: Sequence[Message], **variables: Any) -> Rendered:
        """A whole conversation. An assistant's message with `weight` 0 is context, not a lesson.

        variables: of the chat template, such as `tools`. Raises TrainingFailed when the template cannot show it all.
        """
        return self._rendered(messages, variables)[0]

    def sequences_with_text(self, messages: Sequence[Message], **variables: Any) -> list[tuple[Rendered, list[str]]]:
        """As `sequences`, and the text of each token (T)."""
        found = [self._rendered(part, variables) for part in self.parts(messages, variables)]
        return [(rendered, pieces_of(text, offsets)) for rendered, text, offsets in found]

    def _rendered(self, messages: Sequence[Message], variables: Variables) -> tuple[Rendered, str, Sequence[Span]]:
        self._refuse_what_would_be_lost(messages, variables)
        messages, variables, stand_ins = self._guarded(messages, variables)
        try:
            text, spans = (self._marked if self.marks_generation else self._by_difference)(messages, variables)
        except (jinja2.TemplateError, TypeError) as error:
            raise TrainingFailed(
                "chat_template_refused",
                f"The base model's chat template refuses the conversation: {error}. Write its rows as the template "
                "wants them, or choose another base model.",
                "model",
            ) from error
        turns = [message for message in messages if message["role"] == "assistant"]
        if len(spans) != len(turns):
            raise unsupported("marks another number of turns than the assistant has")
        lessons = [span for span, turn in zip(spans, turns, strict=True) if turn.get("weight") != 0]
        dropped_text.refuse(messages, text, spans)
        ids, offsets = self.control_tokens.encode(text, stand_ins)
        supervised = [any(start <= begin < end <= stop for start, stop in lessons) for begin, end in offsets]
        return Rendered(ids, supervised), shown(text, stand_ins), offsets

    def _refuse_what_would_be_lost(self, messages: Sequence[Message], variables: Variables) -> None:
        called = any("tool_calls" in turn or turn["role"] == "tool" for turn in messages)
        if variables.get("tools") and "tools" not in self.shows:
            lost = "tools"
        elif called and "tool_calls" not in self.shows:
            lost = "tool_calls"
        else:
            return
        raise TrainingFailed(
            "tools_unsupported",
            f"The row has {lost!r}, but the base model's chat template does not know them: they would be lost. Choose "
            "a base model whose template does, or leave the tools out of the rows.",
            "model",
        )

    def _marked(self, messages: Sequence[Message], variables: Variables) -> tuple[str, list[Span]]:
        pieces = self._marked_text(messages, variables).split(MARK)
        spans: list[Span] = []
        position = 0
        for index, piece in enumerate(pieces):
            if index % 2:
                spans.append((position, position + len(piece)))
            position += len(piece)
        return "".join(pieces), spans

    def _by_difference(self, messages: Sequence[Message], variables: Variables) -> tuple[str, list[Span]]:
        """Turns that are context only have an empty span where the template rewrites them."""
        text = self._text(messages, variables)
        spans: list[Span] = []
        for place, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            span = self._turn(text, messages, place, variables)
            if span is None and message.get("weight") != 0:
                raise unsupported("rewrites earlier turns, so that an assistant's turn cannot be told apart")
            spans.append(span or (0, 0))
        return text, spans

    def _turn(self, text: str, messages: Sequence[Message], place: int, variables: Variables) -> Span | None:
        """Where the whole conversation's text has this turn as it is served; None where it is rewritten."""
        before = self._text(messages[:place], variables, opening=True)
        upto = self._text(messages[: place + 1], variables)
        if not (upto.startswith(before) and text.startswith(upto)):
            return None
        return len(before), len(upto.rstrip("\n"))

    def sequences(self, messages: Sequence[Message], **variables: Any) -> list[Rendered]:
        """What is learned of a conversation: each turn of weight 1 once, after exactly the tokens that serving sends.

        One sequence, unless the template rewrites earlier turns. Raises TrainingFailed as `render` does.
        """
        return [self.render(part, **variables) for part in self.parts(messages, variables)]

    def parts(self, messages: Sequence[Message], variables: Variables) -> list[Sequence[Message]]:
        """Beginnings of the conversation, each with weight 0 for the turns that another part teaches."""
        waiting = [n for n, turn in enumerate(messages) if turn["role"] == "assistant" and turn.get("weight") != 0]
        if not waiting or not self.rewrites:
            return [messages]
        guarded, values, _ = self._guarded(messages, variables)
        found: list[Sequence[Message]] = []
        try:
            while waiting:
                last = waiting[-1]
                text = self._text(guarded[: last + 1], values)
                whole = {n for n in waiting if n == last or self._turn(text, guarded[: last + 1], n, values)}
                part = [
                    {**turn, "weight": 0} if turn["role"] == "assistant" and n not in whole else turn
                    for n, turn in enumerate(messages[: last + 1])
                ]
                found.append(part)
                waiting = [n for n in waiting if n not in whole]
        except (jinja2.TemplateError, TypeError):
            return [messages]  # `render` says what the template refuses
        return found[::-1]


def pieces_of(text: str, offsets: Sequence[Span]) -> list[str]:
    """The text cut at tokens; of a character that several tokens share, the first has it."""
    pieces, reached = [], 0
    for begin, end in offsets:
        pieces.append(text[max(begin, reached) : end])
        reached = max(reached, end)
    return pieces


def unsupported(habit: str) -> TrainingFailed:
    return TrainingFailed(
        "chat_template_unsupported",
        f"The base model's chat template {habit}. Train on single-turn rows, or add {{% generation %}} markers to the "
        "template.",
        "model",
    )
