"""The road of docs/command-line.md on a real server: up in the background, train, chat, download, down."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from examples.word_problems import problems
from fettle.cli.up import free_port
from tests import bases
from tests.e2e.conftest import QUICK
from tests.fettle.datasets.formats.test_served_as_trained import TEMPLATES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Terminal:
    """A user's, in a folder with rows to train on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = {"FETTLE_DATA": str(folder / "data"), "FETTLE_PORT": str(free_port()), "XDG_CONFIG_HOME": str(folder)}
        self.env = {**os.environ, **QUICK, **own}
        for split, count in (("train", 64), ("held_out", 16)):
            taken = islice(problems(split, 3), count)  # type: ignore[arg-type]
            rows = (json.dumps(problem.row("reasoned")) + "\n" for problem in taken)
            (folder / f"{split}.jsonl").write_text("".join(rows))
        turns = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
        chats = ({"messages": [*turns, {"role": "user", "content": f"{n}?"}, turns[1]]} for n in range(12))
        (folder / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))

    def run(self, *words: str, typed: str = "") -> tuple[int, str, str]:
        command = [sys.executable, "-m", "fettle", *words]
        done = subprocess.run(
            command, env=self.env, cwd=self.folder, input=typed, capture_output=True, text=True, timeout=400
        )
        return done.returncode, done.stdout, done.stderr

    def ok(self, *words: str, typed: str = "") -> str:
        code, out, err = self.run(*words, typed=typed)
        assert (code, err) == (0, ""), out + err
        return out


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    found = Terminal(tmp_path)
    yield found
    found.run("down")


def test_three_commands_lead_from_a_file_to_a_chat_and_the_server_stops(terminal: Terminal) -> None:
    assert "Fettle is up" in terminal.ok("up", "--detach")
    code, _, err = terminal.run("up", "--detach")
    assert code == 1
    assert "Another `fettle up` is using" in err

    train = ("train", "train.jsonl", "--base", "starter", "--valid", "held_out.jsonl", "--epochs", "1", "--chat")
    said = terminal.ok(*train, typed="Ben has 4 apples and finds 2. How many apples does Ben have?\n/base\n/quit\n")
    assert "\x1b" not in said
    assert "Warning" not in said
    lines = said.splitlines()
    (ended,) = [line for line in lines if line.startswith("succeeded")]
    answers = lines[lines.index(ended) + 1 :]
    assert "starter:" in answers
    assert len(answers) >= 3

    (job,) = json.loads(terminal.ok("jobs", "list", "--json"))["data"]
    assert ended.split()[1] == job["fine_tuned_model"]
    shown = terminal.ok("jobs", "show", job["id"])
    assert "evaluation" in shown and " → " in shown
    terminal.ok("jobs", "download", job["id"], "--to", "adapter")
    assert (terminal.folder / "adapter" / "adapter_model.safetensors").stat().st_size > 10_000
    terminal.ok("jobs", "download", job["id"], "--to", "all", "--everything")
    everything = terminal.folder / "all"
    assert sorted(path.name for path in everything.iterdir()) == ["adapter", "checkpoints", "report.html", "results"]
    (checkpoint,) = (everything / "checkpoints").iterdir()
    assert {path.name for path in checkpoint.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    assert not [path for path in checkpoint.iterdir() if path.suffix in (".pt", ".bin", ".pth")]
    assert len([*(everything / "results").iterdir()]) == len(job["result_files"])
    assert terminal.ok("rewards", "try", "answer_correct", "<answer>6</answer>", "--item", '{"answer": 6}') == "1.00\n"

    folder = bases.copy(terminal.folder / "House-Model")  # on Qwen3's own template, which rewrites earlier turns
    (folder / "chat_template.jinja").write_text((TEMPLATES / "qwen3.jinja").read_text())
    added = terminal.ok("models", "add", str(folder))
    assert "1,669,312" in added and "2,048 tokens" in added
    assert [line[:2] for line in added.splitlines()[-3:]] == ["✓ ", "✓ ", "✓ "], added
    assert len(json.loads(terminal.ok("models", "list", "--json"))["data"]) == 3  # the check leaves no model
    assert terminal.ok("chat", "house-model", "2 + 2?").strip()
    chats = terminal.ok("train", "chats.jsonl", "--base", "house-model", "--epochs", "1", "--watch")
    assert "12 rows became 24 sequences" in chats
    (tuned,) = [line.split()[1] for line in chats.splitlines() if line.startswith("succeeded")]
    assert tuned in terminal.run("models", "remove", "house-model")[2]
    terminal.ok("models", "remove", tuned)
    assert terminal.ok("models", "remove", "house-model") == "house-model removed\n"
    assert "does not exist" in terminal.run("chat", "house-model", "2 + 2?")[2]

    assert terminal.ok("down") == "Fettle has stopped.\n"
    code, _, err = terminal.run("jobs", "list")
    assert code == 3
    assert "is not responding" in err
    assert "is not running" in terminal.run("down")[2]
