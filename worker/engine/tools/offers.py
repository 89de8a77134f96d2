"""What a request's tools come to on one base: how they are shown, what holds the answer, and how it is read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fettle.errors import InvalidRequest
from fettle.registry import tool_formats
from fettle.registry.tool_formats import ToolFormat
from worker.engine.grammar import Grammar
from worker.engine.requests import Base
from worker.engine.tools import grammars
from worker.engine.tools.parsing import CallParser

if TYPE_CHECKING:
    from worker.engine.schemas import ChatRequest


@dataclass(frozen=True)
class Offer:
    """grammar: of the whole answer. shown: control tokens that the text must show, for calls to be found in it."""

    grammar: Grammar | None
    shown: frozenset[int]


def form_of(base: Base) -> ToolFormat:
    """Raises InvalidRequest for a base that cannot call tools."""
    found = tool_formats.of_template(base.renderer.template_text)
    if found is None or "tools" not in base.renderer.shows:
        raise InvalidRequest(
            f"The base model {base.name!r} cannot call tools: its chat template does not show them, or writes calls in "
            "a form that the engine does not read. Use another base model, or remove 'tools'.",
            code="tools_unsupported",
            param="tools",
        )
    return found


def variables(base: Base, body: "ChatRequest") -> dict[str, Any]:
    """Of the chat template: the tools, and with what an answer begins that must call one of them."""
    called = any(message.tool_calls or message.role == "tool" for message in body.messages)
    if called and "tool_calls" not in base.renderer.shows:
        raise InvalidRequest(
            f"The chat template of {base.name!r} does not show tool calls. Remove the messages that make or answer "
            "them, or use another base model.",
            code="tools_unsupported",
            param="messages",
        )
    if not body.callable:
        return {}
    form = form_of(base)
    shown = [{"type": "function", "function": function.for_template()} for function in body.offered]
    return {"tools": shown} | ({"ahead": form.before(body.named)} if body.named else {})


def of(base: Base, body: "ChatRequest") -> Offer | None:
    """None where the model may call nothing. Raises InvalidRequest."""
    if not body.callable:
        return None
    form = form_of(base)
    if body.named is not None:
        return Offer(grammars.arguments_only(body.callable[0], base.vocabulary), frozenset())
    ids = (base.renderer.tokenizer.token_to_id(name) for name in form.special)
    grammar = grammars.calls(
        body.callable,
        form,
        base.vocabulary,
        required=body.tool_choice == "required",
        parallel=body.parallel_tool_calls,
        response=body.json_schema,
    )
    return Offer(grammar, frozenset(token for token in ids if token is not None))


def parser(base: Base, body: "ChatRequest") -> CallParser:
    names = [function.name for function in body.callable]
    return CallParser(form_of(base), names, parallel=body.parallel_tool_calls, named=body.named)
