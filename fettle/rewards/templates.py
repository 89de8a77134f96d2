"""`{{ item.answer }}` and `{{ sample.output_text }}` in what graders compare: paths only, nothing is executed."""

import re
from typing import Any

import orjson

from fettle.rewards.samples import NOT_JSON, Sample

HOLE = re.compile(r"\{\{([^{}]*)\}\}")
PATH = re.compile(r"^(item|sample)((?:\.[^.\[\]\s]+|\[\d+\])*)$")
VARIABLE = r"(?<![\w.\]])(?:item|sample)(?:\.[^.\[\]\s{}]+|\[\d+\])+"
# Always meant as a hole: {item.x}, {{item}
TORN = re.compile(rf"\{{\s*{VARIABLE}\s*\}}|\{{\{{\s*(?:item|sample)\s*\}}")
# Meant as a hole where one of the braces has no partner: {{item.x, item.x}}, {{x, and braces that touch a hole
UNPAIRED = re.compile(rf"\{{\s*{VARIABLE}|{VARIABLE}\s*\}}\}}|\{{\{{\s*\w[\w.\[\]]*|\{{\0|\0\}}")
FILLED = "\0"  # where a hole was
STEP = re.compile(r"\.([^.\[\]\s]+)|\[(\d+)\]")
BRACE = re.compile(r"[{}]")
OF_SAMPLE = ("output_text", "output_json", "output_tools", "choices", "turns")
FILLED_AT_MOST = 4_000_000  # characters: a template may name a long text a thousand times


class BadTemplate(ValueError):
    """A hole that no sample can fill."""


class Unfilled(Exception):
    """This sample does not have what the template asks for. `flag` is OpenAI's name of the error."""

    def __init__(self, flag: str, message: str) -> None:
        super().__init__(message)
        self.flag = flag


def check(template: str) -> str:
    """The same template. Raises BadTemplate."""
    for hole in HOLE.findall(template):
        match = PATH.match(hole.strip())
        if match is None:
            raise BadTemplate(
                f"{{{{{hole}}}}} is not a variable. Use {{{{item.NAME}}}} or {{{{sample.output_text}}}}. If the braces "
                "are text, put a space between them: { {"
            )
        steps = STEP.findall(match[2])
        if match[1] == "sample" and (not steps or steps[0][0] not in OF_SAMPLE):
            raise BadTemplate(f"{{{{{hole}}}}} is not a variable. `sample` has {', '.join(OF_SAMPLE)}")
    refuse_torn(HOLE.sub(FILLED, template))
    return template


def refuse_torn(rest: str) -> None:
    """rest: a template with FILLED in place of its holes. Braces of its text, as in JSON and LaTeX, are no holes.

    Raises BadTemplate.
    """
    alone = without_partner(rest)
    unpaired = (each for each in UNPAIRED.finditer(rest) if not alone.isdisjoint(range(*each.span())))
    torn = next(TORN.finditer(rest), None) or next(unpaired, None)
    if torn is not None:
        shown = rest[max(0, torn.start() - 20) : torn.end()].replace(FILLED, "{{…}}")
        raise BadTemplate(
            f"{shown[:80]!r} has braces that are not closed or not opened. Write {{{{item.NAME}}}} or "
            "{{sample.output_text}}, with two braces on each side"
        )


def without_partner(text: str) -> set[int]:
    """Where the braces are that nothing closes or opens."""
    opened: list[int] = []
    alone: set[int] = set()
    for brace in BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            opened.pop()
        else:
            alone.add(brace.start())
    return alone.union(opened)


def fill(template: str, sample: Sample) -> str:
    """Texts as they are, everything else as JSON. Raises Unfilled."""
    room = FILLED_AT_MOST

    def filling(hole: re.Match[str]) -> str:
        nonlocal room
        text = as_text(find(hole[1].strip(), sample))
        room -= len(text)
        if room < 0:
            raise Unfilled("other_error", f"the filled template has more than {FILLED_AT_MOST:,} characters")
        return text

    return HOLE.sub(filling, template)


def find(path: str, sample: Sample) -> Any:
    match = PATH.match(path)
    if match is None:
        raise Unfilled("invalid_variable_error", f"{path!r} is not a variable")
    value: Any = sample.item if match[1] == "item" else sample.namespace
    at = match[1]
    for key, index in STEP.findall(match[2]):
        if at == "sample.output_json" and value is None:
            raise Unfilled(NOT_JSON, "sample.output_json: the completion is not JSON")
        try:
            value = value[int(index)] if index else value[key]
        except (KeyError, IndexError, TypeError) as error:
            raise Unfilled("invalid_variable_error", f"{at} has no {key or index!r}") from error
        at += f".{key}" if key else f"[{index}]"
    if at == "sample.output_json" and value is None:
        raise Unfilled(NOT_JSON, "sample.output_json: the completion is not JSON")
    return value


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
