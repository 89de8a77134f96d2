"""Grammars that hold tool calls to their schemas: what llguidance calls Lark, with JSON schemas inside."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fettle.errors import InvalidRequest
from fettle.registry.tool_formats import NAME, ToolFormat
from worker.engine.grammar import Grammar, compiled_lark, refused, schema_text
from worker.engine.tools.schemas import Function
from worker.engine.vocabulary import Vocabulary

ANY_OBJECT: dict[str, Any] = {"type": "object"}
AS_TEMPLATES_WRITE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
HEADER = "%llguidance {}\n"
BLANK = "BLANK: / ?/\n"
MAX_TOOL_SCHEMAS_BYTES = 256 * 1024


def arguments_only(function: Function, vocabulary: Vocabulary) -> Grammar:
    """The arguments of a call whose beginning is in the prompt already. Raises InvalidRequest."""
    schema = arguments_schema(function.parameters, function)
    return compiled_lark(f"{HEADER}start: BLANK %json {schema}\n{BLANK}", vocabulary, where(function))


def calls(
    functions: Sequence[Function],
    form: ToolFormat,
    vocabulary: Vocabulary,
    *,
    required: bool,
    parallel: bool,
    response: Mapping[str, Any] | None = None,
) -> Grammar | None:
    """Text or calls; calls alone if `required`. None: nothing can hold this family's text.

    response: the schema of an answer that is not a call. Raises InvalidRequest.
    """
    if form.bare and not required and response is None:
        return None  # a call has no mark: whether it is one shows at its end
    if sum(len(arguments_schema(each.parameters, each)) for each in functions) > MAX_TOOL_SCHEMAS_BYTES:
        raise refused(f"those of all tools have more than {MAX_TOOL_SCHEMAS_BYTES:,} bytes together", "tools")
    bound = [schema_of(each, vocabulary) for each in functions]
    parallel = parallel and form.parallel
    if required or response is not None:
        several = f"({literal(form.between, vocabulary)} call)*" if parallel else ""
        all_calls = f"{literal(form.opener, vocabulary)} call {several} {literal(form.closer, vocabulary)}"
        lark = [HEADER, f"start: {all_calls}" + ("" if required else " | answer"), BLANK.rstrip()]
        lark += [f"call: {' | '.join(f'call_{number}' for number in range(len(functions)))}"]
        lark += [
            f"call_{number}: {literal(form.prefix.replace(NAME, function.name), vocabulary)} BLANK %json {schema} "
            f"{literal(form.suffix, vocabulary)}"
            for number, (function, schema) in enumerate(zip(functions, bound, strict=True))
        ]
        if response is not None:
            lark.append(f"answer: %json {schema_text(response, 'response_format.json_schema.schema')}")
        return compiled_lark("\n".join(lark) + "\n", vocabulary, "tools")
    return compiled_lark(once_begun(functions, bound, form, vocabulary, parallel), vocabulary, "tools")


def once_begun(
    functions: Sequence[Function], bound: Sequence[str], form: ToolFormat, vocabulary: Vocabulary, parallel: bool
) -> str:
    """Any text; from a mark on, a call of one of the functions."""
    mark = form.marks[0]
    whole = form.opener + form.prefix
    special = mark in form.special
    begun = literal(whole[: len(mark)], vocabulary) if special else "MARKED"
    rest = whole[len(mark) :]
    options = [
        f"{literal(rest.replace(NAME, function.name), vocabulary)} BLANK %json {schema} "
        f"{literal(form.suffix, vocabulary)}"
        for function, schema in zip(functions, bound, strict=True)
    ]
    one = " | ".join(options)
    follows = "" if not (parallel and form.opener) else f"({literal(form.between, vocabulary)} another)*"
    another = " | ".join(
        f"{literal(form.prefix.replace(NAME, function.name), vocabulary)} BLANK %json {schema} "
        f"{literal(form.suffix, vocabulary)}"
        for function, schema in zip(functions, bound, strict=True)
    )
    block = f"{'TEXT begun' if special else 'begun'} first {follows} {literal(form.closer, vocabulary)}"
    several = "call* TEXT" if parallel else "call | TEXT"
    lines = [HEADER.rstrip(), f"start: {several}", "TEXT: /(.|\\n)*/", BLANK.rstrip(), f"call: {block}"]
    lines.append(f"begun: {begun}" if special else f"begun[lazy]: TEXT {json.dumps(mark)}")
    lines.append(f"first: {one}")
    if follows:
        lines.append(f"another: {another}")
    return "\n".join(lines) + "\n"


def literal(text: str, vocabulary: Vocabulary) -> str:
    """As Lark writes it: control tokens by their ids."""
    pieces = []
    for part, token in vocabulary.with_control_tokens(text):
        if token is not None:
            pieces.append(f"<[{token}]>")
        elif part:
            pieces.append(json.dumps(part))
    return " ".join(pieces)


def schema_of(function: Function, vocabulary: Vocabulary) -> str:
    """The schema of its arguments. Raises InvalidRequest if it is strict and cannot be held; another gives way."""
    text = arguments_schema(function.parameters, function)
    if function.strict or function.parameters is None:
        return text
    try:
        compiled_lark(f"{HEADER}start: %json {text}\n", vocabulary, where(function))
    except InvalidRequest:
        return arguments_schema(None, function)
    return text


def arguments_schema(parameters: Mapping[str, Any] | None, function: Function) -> str:
    """As llguidance is to read it. Raises InvalidRequest for one that is too long."""
    return schema_text(parameters or ANY_OBJECT, where(function), AS_TEMPLATES_WRITE)


def where(function: Function) -> str:
    return f"tools.{function.name}.parameters"
