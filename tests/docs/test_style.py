"""What docs/style.md says not to write is not written: on the pages, and in the sentences of the code."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT

STYLE = ROOT / "docs" / "style.md"
WRITTEN = [page for page in [*PAGES, ROOT / "CHANGELOG.md"] if page != STYLE]
GUIDES = [page for page in WRITTEN if page.parent == ROOT / "docs"]
WITH_TABLES_OF_THE_CODE = {"configuration.md", "datasets.md", "metrics.md", "openai-compatibility.md", "security.md"}
DO_NOT = re.compile(
    r"fell silent|\bgiven up\b|says nothing|to be mended|\bmend(?:s|ed|ing)?\b|has already cancelled|stands? beside"
    r"|\bstands? twice\b|names no \w+|no way back|unless it is said|reckoned|cannot be had|choose of"
    r"|\b(?:is|are) no (?:Python|number|text|dataset|function definition|error|response|character|pair)s?\b"
    r"|brought back|\ball that is its\b|\b(?:URL|network)s? of yours\b|\bthe very same\b|answers? otherwise\b"
    r"|\b1 (?:rows|calls|attempts|pairs|prompts|seconds|tokens|files|jobs|errors)\b",
    re.IGNORECASE,
)
# Sentences of the code that still do, while they are being rewritten: lower this number, never raise it.
MOST_IN_THE_CODE = 19


def sentences(source: str) -> list[str]:
    """The texts of a module that hold a blank, those inside f-strings as well."""
    constants = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return [node.value for node in constants if isinstance(node.value, str) and " " in node.value]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_in_plain_english(page: Path) -> None:
    lines = page.read_text().splitlines()
    own = [line for line in lines if not (page.name in WITH_TABLES_OF_THE_CODE and line.startswith("|"))]
    assert [found[0] for line in own for found in DO_NOT.finditer(line)] == []


def test_the_code_is_in_plain_english() -> None:
    files = [file for room in ("api", "fettle", "models", "worker") for file in (ROOT / room).rglob("*.py")]
    found = [(str(file), text) for file in files for text in sentences(file.read_text()) if DO_NOT.search(text)]
    assert len(found) <= MOST_IN_THE_CODE, found


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_page_begins_with_what_it_lets_the_reader_do(page: Path) -> None:
    first = page.read_text().split("\n\n")[1]
    assert re.search(r"\b(you|your|this page)\b", first, re.IGNORECASE), first


def test_the_style_page_has_twenty_pairs_of_which_the_test_sees_many() -> None:
    bad = re.findall(r"^\| (.+?) \| .+? \|$", STYLE.read_text(), re.MULTILINE)[1:]
    assert len(bad) >= 20
    assert len([each for each in bad if DO_NOT.search(each)]) >= 12
