"""One renderer from chat messages to token ids and loss mask, for previewing, training and serving alike.

It reads a base model's own tokenizer.json and chat template, without transformers: what is previewed is what is trained
is what is served. Control tokens are the template's alone: in a message they stay text. Only what the assistant says is
supervised. A template that marks it with `{% generation %}` says so itself;
for one that does not, an assistant's turn is what rendering the conversation with it adds to rendering it without.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from fettle.datasets.formats.control_tokens import MARK, ControlTokens, Span, StandIns, shown
from fettle.errors import TrainingFailed

Message = dict[str, Any]
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


class GenerationTag(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}`: a MARK before and after what the assistant says."""

    tags = {"generation"}  # noqa: RUF012 — jinja2's own contract

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Any) -> str:
        return f"{MARK}{caller()}{MARK}"


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

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def render(self, messages: Sequence[Message], **variables: Any) -> Rendered:
        """A whole conversation. An assistant's message with `weight` 0 is context, not a lesson.

        variables: of the chat template, such as `tools`. Raises TrainingFailed when the template cannot show it all.
        """
        return self._rendered(messages, variables)[0]

    def render_with_text(self, messages: Sequence[Message], **variables: Any) -> tuple[Rendered, list[str]]:
        """As `render`, and the text of each token (T)."""
        rendered, text, offsets = self._rendered(messages, variables)
        return rendered, pieces_of(text, offsets)

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
        text = self._text(messages, variables)
        spans: list[Span] = []
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._text(messages[:index], variables, opening=True)
            upto = self._text(messages[: index + 1], variables)
            if not (upto.startswith(before) and text.startswith(upto)):
                raise unsupported("rewrites earlier turns, so that an assistant's turn cannot be told apart")
            spans.append((len(before), len(upto.rstrip("\n"))))
        return text, spans


def environment() -> ImmutableSandboxedEnvironment:
    """As transformers has it: a template may do no more than write."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = lambda value, **kw: json.dumps(value, ensure_ascii=False, **kw)
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return made


def chat_template(folder: Path) -> str:
    """A base model's; empty when it has none."""
    alone, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if alone.is_file():
        return alone.read_text()
    return default_template(json.loads(config.read_text())) if config.is_file() else ""


def shown_by(template: str) -> frozenset[str]:
    """Which of `tools` and `tool_calls` the template shows to the model."""
    known = jinja2.meta.find_undeclared_variables(environment().parse(template)) & {"tools"}
    return frozenset(known | ({"tool_calls"} if "tool_calls" in template else set()))


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


def default_template(config: dict[str, Any]) -> str:
    """tokenizer_config.json holds one template, or a list of named ones."""
    found = config.get("chat_template") or ""
    if isinstance(found, list):
        return next((str(entry["template"]) for entry in found if entry["name"] == "default"), "")
    return str(found)


def token_text(token: Any) -> str:
    """tokenizer_config.json holds a token as text or as an object with its text in `content`."""
    return str(token["content"] if isinstance(token, dict) else token)


def raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)
