"""Every command says what it does, with an example that runs as it stands, and speaks JSON where it shows something."""

import re

import pytest

from fettle import __version__
from tests import commands_page
from tests.fettle.cli.conftest import Shell

# Commands that run a service, talk, or write a file
WITHOUT_JSON = {
    *("up", "down", "api", "worker", "engine", "vllm-agent", "export", "migrate", "login", "logout", "console"),
    *("backup", "restore", "health"),
    *("jobs watch", "jobs report", "files download", "keys create", "keys rotate", "keys revoke", "projects create"),
    "projects delete",
}


COMMANDS = dict(commands_page.commands())
EXAMPLES = [(name, line.strip()) for name, one in COMMANDS.items() for line in one.epilog.splitlines()[1:]]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(shell: Shell, name: str) -> None:
    said = " ".join(shell.ok(*name.split(), "--help").split())
    assert re.search(rf"Examples?: .*fettle {name}\b", said), said


def test_help_shows_no_type_of_python(shell: Shell) -> None:
    said = {name: shell.ok(*name.split(), "--help") for name in COMMANDS}
    assert [name for name, text in said.items() if re.search(r"<(str|bool|int|float|path|list|datetime)\b", text)] == []
    assert re.search(r"--rows +N\b", said["preview"]) and re.search(r"--watch +Follow", said["train"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("jobs", "list", "--limit", "ten"), "Invalid value for '--limit': 'ten'. Use a whole number."),
        (("train", "a", "--epochs", "0"), "Invalid value for '--epochs': '0'. Use a number of 1 or more."),
        (("chat", "a", "--temperature", "5"), "Invalid value for '--temperature': '5'. Use a number of 2 or less."),
    ],
)
def test_a_wrong_value_is_refused_in_plain_words(shell: Shell, words: tuple[str, ...], said: str) -> None:
    code, _, err = shell.run(*words)
    assert code == 2
    assert said in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_an_example_has_options_that_the_command_has(name: str, line: str) -> None:
    known = {option for param in COMMANDS[name].params for option in param.opts}
    assert set(re.findall(r"(?<= )--[a-z-]+", line)) <= known


def test_what_shows_something_shows_it_as_json_as_well(shell: Shell) -> None:
    silent = {name for name in COMMANDS if "--json" not in shell.ok(*name.split(), "--help")}
    assert silent == WITHOUT_JSON


def test_the_version_is_shown(shell: Shell) -> None:
    assert shell.ok("--version") == f"fettle {__version__}\n"


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells_can_complete_commands(name: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FETTLE_COMPLETE", f"complete_{name}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "fettle jobs re")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    said = shell.run()[1]
    assert "resume" in said and "report" in said and "watch" not in said


def test_a_shell_can_complete_commands(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FETTLE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "fettle jobs re")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert shell.run()[1].split() == ["resume", "report"]


def test_the_page_lists_every_command_as_its_help_does() -> None:
    text = commands_page.PAGE.read_text()
    assert text == commands_page.page(text), "run: python -m tests.commands_page"
