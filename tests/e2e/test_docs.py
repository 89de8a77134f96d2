"""The Python and shell blocks of README and the pages, run in order as a reader would, against one server.

A page's Python blocks share their names. They run in a folder that has the server's data folder as `.fettle` and the
files that FILES lists. What the pages write for the reader's own is replaced: the server's address, an id that ends
with `…`.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from examples.word_problems import problems
from tests.docs.blocks import PAGES, ROOT, Block, blocks
from tests.e2e.conftest import ENDED, Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RUN = {page: [block for block in blocks(page) if block.language in ("python", "bash", "sh")] for page in PAGES}
RUN = {page: [block for block in found if block.not_run is None] for page, found in RUN.items()}


def lines(rows: Iterator[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def files() -> dict[str, bytes]:
    """What the pages take the reader to have."""
    taken = list(islice(problems("train", 1), 24))
    return {
        "train.jsonl": lines(problem.row("reasoned") for problem in taken),
        "valid.jsonl": lines(problem.row("reasoned") for problem in islice(problems("train", 2), 24)),
        "prompts.jsonl": lines({"prompt": problem.question, "answer": str(problem.answer)} for problem in taken),
    }


@pytest.fixture
def folder(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's."""
    (tmp_path / ".fettle").symlink_to(server.data)
    bin_folder = tmp_path / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    for name, arguments in {"python": "", "fettle": "-m fettle"}.items():
        (bin_folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (bin_folder / name).chmod(0o755)
    for name, content in files().items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("FETTLE_DATA", str(server.data))
    monkeypatch.setenv("FETTLE_PORT", str(server.port))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))  # a developer's own logins must not reach the tests
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_the_shell(command: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def in_python(block: Block, text: str, names: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(text, str(block), "exec"), names)  # noqa: S102 — the page's code is what is tested
    return printed.getvalue()


@pytest.mark.parametrize("page", [page for page, found in RUN.items() if found], ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page: Path, server: Server, folder: Path) -> None:
    names: dict[str, Any] = {"client": server.client}
    printed = {}
    for block in RUN[page]:
        text = block.text.replace("http://127.0.0.1:8000", server.url)
        if block.language == "python":
            printed[block.line] = in_python(block, text, names)
        else:
            printed[block.line] = in_the_shell(text)
    for job in server.client.fine_tuning.jobs.list():
        if job.status not in ENDED:
            server.client.fine_tuning.jobs.cancel(job.id)
    if page.name == "README.md":
        answer = list(printed.values())[-1].splitlines()[-1]
        assert re.search(r"<think>.+</think>", answer), answer


def test_a_block_that_fails_is_seen(server: Server, folder: Path) -> None:
    with pytest.raises(AssertionError, match="no-such-file"):
        in_the_shell("fettle preview no-such-file.jsonl\ntrue")
    with pytest.raises(NameError):
        in_python(Block(ROOT / "README.md", 1, "python", "", None), "print(undefined)", {})
