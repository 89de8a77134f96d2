"""Every code block of README and the pages is run or parsed by a test, or says above its fence why not."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.blocks import PAGES, Block, blocks


def every_line(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


RUN = {"python", "bash", "sh"}  # by tests/e2e/test_docs.py
PARSED: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "jsonl": every_line,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "toml": tomllib.loads,
}
MOST_NOT_RUN = 22

ALL = [block for page in PAGES for block in blocks(page)]


@pytest.mark.parametrize("block", [block for block in ALL if block.language in PARSED], ids=str)
def test_data_on_a_page_can_be_parsed(block: Block) -> None:
    assert PARSED[block.language](block.text)


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "python"], ids=str)
def test_python_on_a_page_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


def test_every_block_is_run_or_parsed_or_says_why_not() -> None:
    silent = [str(block) for block in ALL if block.language not in RUN | PARSED.keys() and block.not_run is None]
    assert silent == []


def test_few_blocks_are_not_run() -> None:
    assert len([block for block in ALL if block.not_run is not None]) <= MOST_NOT_RUN
    assert len([block for block in ALL if block.not_run is None and block.language in RUN]) >= 8


def test_every_fence_belongs_to_a_block_that_was_found() -> None:
    for page in PAGES:
        fences = [line for line in page.read_text().splitlines() if line.lstrip().startswith("```")]
        assert len(fences) == 2 * len(list(blocks(page))), page


def test_a_block_and_its_reason_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n<!-- not run: it costs money -->\n```sh\nspend\n```\n\n- item\n\n  ```python\n  x = 1\n  ```\n"
    )
    assert list(blocks(page)) == [
        Block(page, 4, "sh", "spend\n", "it costs money"),
        Block(page, 10, "python", "x = 1\n", None),
    ]
