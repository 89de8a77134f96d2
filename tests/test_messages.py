"""What is raised, shown in a terminal, or described in the API follows docs/style.md, as far as a machine can see."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for room in ("api", "fettle", "worker") for path in (ROOT / room).rglob("*.py"))
DONTS = {
    name: re.compile(words)
    for name, words in {
        "a metaphor for a worker that stopped": r"\bfell silent\b|\bfalls silent\b",
        "mend": r"\bto be mended\b|\bwas mended\b",
        "is no X": r"(?<!\b[Tt]here )\bis no (?!longer\b|more\b|less\b|room\b|need\b|such\b|way\b)[A-Z]?[a-z]*",
        "choose of": r"\b[Cc]hoose of\b",
        "stands beside": r"\bstands beside\b",
        "given up": r"\b(was|is|were|are) given up\b",
        "let go": r"\b(is|was|are|were) let go\b",
        "says nothing": r"\bsays nothing\b",
        "names no": r"\bnames no [a-z]",
        "has already cancelled": r"\bhas already (cancelled|succeeded|failed)\b",
        "a regular expression": r"\^\[|\]\{\d|\\d\+|\[A-Za-z|\[\^",
        "pydantic's words": r"Input should|Value error,|String should|\bNoneType\b|valid (string|integer|dictionary)\b",
    }.items()
}
# Calls whose strings people read: Typer's help, settings' and columns' descriptions, events, responses of the CLI
READ_BY_USERS = {"Field", "Option", "Argument", "Typer", "add", "print", "Counter", "Gauge", "Histogram", "tell"}


def sentences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Strings in what is raised, in calls that show them, and in what Typer and FastAPI show of commands and routes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield from strings(node.exc)
        elif isinstance(node, ast.Call) and name_of(node.func) in READ_BY_USERS:
            yield from strings(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_shown(node):
            yield node.lineno, ast.get_docstring(node) or ""


def is_shown(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    callers = [name_of(each.func) for each in function.decorator_list if isinstance(each, ast.Call)]
    return bool({"command", "get", "post", "patch", "delete"} & set(callers))


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def strings(node: ast.AST) -> Iterator[tuple[int, str]]:
    for each in ast.walk(node):
        if isinstance(each, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "x" for part in each.values)
            yield each.lineno, text
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.lineno, each.value


def violations(found: Iterator[tuple[int, str]], where: str) -> list[str]:
    return [
        f"{where}:{line}: {name}: …{text[max(0, match.start() - 30) : match.end() + 30]}…"
        for line, text in found
        if " " in text
        for name, dont in DONTS.items()
        if (match := dont.search(text))
    ]


def test_messages_have_none_of_the_donts() -> None:
    found = [
        violation
        for path in SOURCES
        for violation in violations(sentences(ast.parse(path.read_text())), str(path.relative_to(ROOT)))
    ]
    assert not found, "see docs/style.md\n" + "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        'raise NotFound(f"{name!r} is no model here.")',
        'events.add(session, "The worker fell silent, and the job was given up.")',
        'Field(description="choose of: a, b")',
        '@app.command()\ndef x():\n    """What is to be mended."""',
        'raise ValueError("use ^[a-z]{1,64}$ for it")',
        'raise ValueError("Input should be a valid string")',
    ],
)
def test_a_dont_is_found(source: str) -> None:
    assert violations(sentences(ast.parse(source)), "x.py")
