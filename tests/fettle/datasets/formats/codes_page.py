"""Writes the table of error codes in docs/datasets.md: `python -m tests.fettle.datasets.formats.codes_page`."""

import re
from pathlib import Path

from fettle.datasets.formats.problems import PROBLEMS

PAGE = Path(__file__).parents[4] / "docs" / "datasets.md"
BEGIN, END = "<!-- codes: written by tests/fettle/datasets/formats/codes_page.py -->\n", "<!-- end of codes -->"


def with_codes(page: str) -> str:
    """The page with the table as it should be."""
    before, rest = page.split(BEGIN)
    rows = [f"| `{code}` | {cell(message)} | {cell(fix)} |" for code, (message, fix) in PROBLEMS.items()]
    table = "\n".join(["| code | message | fix |", "|---|---|---|", *rows])
    return f"{before}{BEGIN}\n{table}\n\n{END}{rest.split(END)[1]}"


def cell(text: str) -> str:
    """The names that come with a RowProblem in angle brackets, and nothing that Markdown would take for its own."""
    named = re.sub(r"(?<!\{)\{(\w+)\}", r"‹\1›", text).replace("{{", "{").replace("}}", "}")
    return named.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(with_codes(PAGE.read_text()))
