"""A job's tools, as its training process sees them: how calls are read, who carries them out, how they are shown."""

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate.utils import broadcast_object_list

from fettle.datasets.formats import tools as dataset_tools
from fettle.datasets.formats.render import Renderer
from fettle.errors import TrainingFailed
from fettle.methods.tools import Tool
from fettle.registry import tool_formats
from fettle.registry.tool_formats import ToolFormat
from worker.engine.grammar import Grammar
from worker.engine.tools import grammars, parsing
from worker.engine.tools.schemas import Function
from worker.engine.vocabulary import Vocabulary
from worker.training.distributed import ranks
from worker.training.process.channel import Channel, Stopped
from worker.training.process.job_spec import Work

Message = dict[str, Any]
CALLS_AT_MOST = 16  # of one turn that are carried out
TOO_MANY = {"text": f"Error: one turn can make {CALLS_AT_MOST} tool calls. Make fewer.", "failed": True}
UNSHOWABLE = "Error: the result cannot be shown."


@dataclass(frozen=True)
class Toolset:
    """definitions: as the chat template shows them. ends: tokens that end a turn."""

    renderer: Renderer
    form: ToolFormat
    definitions: list[dict[str, Any]]
    max_turns: int
    ends: frozenset[int]
    channel: Channel

    @property
    def names(self) -> list[str]:
        return [tool["function"]["name"] for tool in self.definitions]

    def grammar(self, vocabulary: Vocabulary, response: dict[str, Any] | None) -> Grammar | None:
        """Of a turn, as chat holds it: what begins as a call is one, and what is none fits the schema `response`.

        None: nothing can hold this family's text. Raises InvalidRequest.
        """
        functions = [Function.model_validate(tool["function"]) for tool in self.definitions]
        parallel = self.form.parallel
        return grammars.calls(functions, self.form, vocabulary, required=False, parallel=parallel, response=response)

    def read(self, ids: Sequence[int], number: int) -> Message:
        """The turn that the model wrote, as chat answers it. number: of the message, for the ids of its calls."""
        marks = (self.renderer.tokenizer.token_to_id(name) for name in self.form.special)
        shown = {mark for mark in marks if mark is not None}
        text = Vocabulary(self.renderer, self.ends).decode(ids, shown).replace("\0", "")
        if ids[-1] not in self.ends:
            return {"role": "assistant", "content": text}
        parser = parsing.CallParser(self.form, self.names, parallel=self.form.parallel)
        found = parsing.message(parser.push(text, last=True))
        del found["refusal"]
        for place, call in enumerate(found.get("tool_calls", ())):
            call["id"] = f"{number:05d}{place:04d}"  # nine digits, as the strictest template wants them
        return found

    def carry_out(self, calls: Sequence[dict[str, str]], *, alone: bool) -> list[dict[str, Any]] | None:
        """What they return; None where no rank has any. alone: only this rank is here, not all of them. Raises
        Stopped."""
        everyones = list(calls) if alone else ranks.gathered(calls)
        if not everyones:
            return None
        answer: list[list[dict[str, Any]] | None] = [None]
        if alone or ranks.first():
            with contextlib.suppress(Stopped):
                stop = self.channel.stop if alone else ranks.own(self.channel.stop)
                answer = [self.channel.ask("call_tools", stop, calls=everyones)["results"]]
        if not alone and ranks.count() > 1:
            broadcast_object_list(answer)
        if answer[0] is None:
            raise Stopped
        if alone:
            return answer[0]
        before = sum(ranks.gathered([len(calls)])[: ranks.number()])
        return answer[0][before : before + len(calls)]

    def ids_of(self, messages: Sequence[Message], turn: Message, answers: Sequence[Message]) -> list[int]:
        """What follows the turn that made the calls, until the assistant speaks again.

        The turn's own tokens stay as the model wrote them. In its place the template gets calls with one argument
        that stands nowhere else, behind which the turn ends.
        """
        hidden = secrets.token_hex(16)
        calls = [
            {**call, "function": {"name": call["function"]["name"], "arguments": {"a": hidden}}}
            for call in turn["tool_calls"]
        ]
        shown = {"role": "assistant", "content": "", "tool_calls": dataset_tools.for_template(calls)}
        return self.renderer.after([*messages, shown, *answers], hidden, tools=self.definitions)


def of(work: Work, renderer: Renderer, ends: frozenset[int], channel: Channel) -> Toolset | None:
    """Raises TrainingFailed for a base model whose calls nothing here reads."""
    tools = definitions(work)
    if tools is None:
        return None
    form = tool_formats.of_template(renderer.template_text)
    if form is None or "tools" not in renderer.shows:
        raise TrainingFailed(
            "tools_unsupported",
            f"The chat template of {work.base_name!r} does not show tools, or writes calls in a form that Fettle does "
            "not read. Choose another base model, or leave out 'tools'.",
            "method.reinforcement.tools",
        )
    return Toolset(renderer, form, tools, work.hyperparameters["max_turns"], ends, channel)


def definitions(work: Work) -> list[dict[str, Any]] | None:
    """Of the job's tools."""
    given = work.options.get("tools")
    return None if given is None else [Tool.model_validate(tool).for_template() for tool in given]
