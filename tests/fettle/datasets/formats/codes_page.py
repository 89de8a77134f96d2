"""Writes the table of error codes in docs/datasets.md: `python -m tests.fettle.datasets.formats.codes_page`."""

import re
from pathlib import Path

from fettle.datasets.formats.problem_codes import NOTES, PROBLEMS, QUALITY

PAGE = Path(__file__).parents[4] / "docs" / "datasets.md"
BEGIN, END = "<!-- codes: written by tests/fettle/datasets/formats/codes_page.py -->\n", "<!-- end of codes -->"


def with_codes(page: str) -> str:
    """The page with the table as it should be."""
    before, rest = page.split(BEGIN)
    notes = "Notes of a file without errors (`validation.notes`):"
    quality = "Findings about quality (`validation.quality.findings`):"
    tables = [table(PROBLEMS), notes, table(NOTES), quality, table(QUALITY)]
    return "\n\n".join([f"{before}{BEGIN}", *tables, f"{END}{rest.split(END)[1]}"]).replace(
        f"{BEGIN}\n\n", f"{BEGIN}\n"
    )


def table(sentences: dict[str, tuple[str, str]]) -> str:
    rows = [f"| `{code}` | {cell(message)} | {cell(fix)} |" for code, (message, fix) in sentences.items()]
    return "\n".join(["| code | message | fix |", "|---|---|---|", *rows])


def cell(text: str) -> str:
    """The names that come with a RowProblem in angle brackets, and nothing that Markdown would take for its own."""
    named = re.sub(r"(?<!\{)\{(\w+)\}", r"‹\1›", text).replace("{{", "{").replace("}}", "}")
    return named.replace("|", "\\|").replace("*", "\\*").replace("&lt;", "&amp;lt;").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(with_codes(PAGE.read_text()))
