"""In a terminal of 80 columns no command prints a line that is wider."""

import re
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.cells import cell_len
from rich.text import Text

from fettle.cli import terminal
from tests import commands_page
from tests.api.tenants import jsonl
from tests.fettle.cli.conftest import Server, Shell
from tests.fettle.cli.test_jobs import publish

WIDTH = 80
LONG = "模型" * 30 + "x" * 60  # 180 columns without a blank
COPIED = re.compile(r"\S+|fettle \w.*")  # stays one line to be copied: a terminal wraps it by itself
GROUPS = sorted({name.rpartition(" ")[0] for name, _ in commands_page.commands()})


@pytest.fixture
def narrow(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell in such a terminal."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr(terminal.console, "_width", WIDTH)
    return shell


def seen(said: str) -> list[str]:
    """The lines, without colours."""
    return [Text.from_ansi(line).plain.rstrip() for line in said.splitlines()]


def too_wide(said: str) -> list[str]:
    return [line for line in seen(said) if cell_len(line) > WIDTH]


@pytest.mark.parametrize("name", [*GROUPS, *dict(commands_page.commands())])
def test_help(narrow: Shell, name: str) -> None:
    said = narrow.ok(*name.split(), "--help")
    assert any("Usage: fettle" in line for line in seen(said))
    assert too_wide(said) == []


@pytest.fixture(scope="module")
def there(server: Server) -> dict[str, str]:
    """One of everything on the server, with long names; ids by their noun."""
    http = httpx.Client(base_url=f"{server.url}/v1", headers={"Authorization": f"Bearer {server.key}"}, timeout=60)
    made: dict[str, str] = {}

    def post(noun: str, path: str, **body: Any) -> None:
        made[noun] = http.post(path, **body).raise_for_status().json()["id"]

    for noun, rows in (("file", jsonl(12)), ("bad file", b'{"messages": 1}\n' * 12)):
        post(noun, "/files", files={"file": (f"{LONG}.jsonl", rows)}, data={"purpose": "fine-tune"})
    body = {"model": "starter", "training_file": made["file"], "suffix": "s" * 64, "metadata": {"note": LONG}}
    post("job", "/fine_tuning/jobs", json=body)
    body = {"name": LONG, "url": f"https://hooks.example.com/{'x' * 100}", "event_types": ["batch.failed"]}
    post("endpoint", "/webhook_endpoints", json=body)
    made["model"] = publish(server, made["job"], Path(tempfile.mkdtemp(dir=server.settings.data)) / "made")
    http.close()
    return made


@pytest.mark.parametrize(
    "words",
    [
        "files list",
        "files show {file}",
        "files show {bad file}",
        "preview {file} --model starter",
        "preview {file} --quality",
        "jobs list",
        "jobs show {job}",
        "models list",
        "models show {model}",
        "models show starter",
        "webhooks list",
        "webhooks deliveries {endpoint}",
        "rewards list",
        "rewards show answer_correct",
        "rewards show judge",
        "keys list",
        "projects list",
        "audit",
    ],
)
def test_a_command_that_shows_something(narrow: Shell, server: Server, there: dict[str, str], words: str) -> None:
    narrow.set(URL=server.url, API_KEY=server.key, DATA=server.settings.data)
    said = narrow.ok(*(part.format_map(there) for part in re.findall(r"\{.+?\}|\S+", words)))
    assert said.strip()
    assert [line for line in too_wide(said) if not COPIED.fullmatch(line)] == []


def test_an_error(narrow: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, said = narrow.run("preview", "no " * 60)
    assert code == 1
    assert len(said.splitlines()) > 1 and too_wide(said) == []
