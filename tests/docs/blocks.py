"""The code blocks of README and the pages: what they hold, and why a test does not run one.

A block that no test runs has `<!-- not run: REASON -->` on the line above its fence.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples/README.md", *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^\n]+) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """not_run: why no test runs it."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    content = page.read_text()
    for found in BLOCK.finditer(content):
        text = "".join(line.removeprefix(found["indent"]) for line in found["text"].splitlines(keepends=True))
        line = content.count("\n", 0, found.start("language")) + 1
        yield Block(page, line, found["language"], text, found["reason"])
