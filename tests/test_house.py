"""What the pages say is what there is: settings, commands, make targets, links."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from fettle import __version__
from fettle.cli.main import app
from fettle.settings import Settings
from tests import settings_pages

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WITH_COMMANDS = [*PAGES, ROOT / "Dockerfile", ROOT / "docker-compose.yml", ROOT / "Makefile"]

FENCE = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
FETTLE = re.compile(r"(?:^|[\s;&|(])(?:python -m )?fettle((?: [a-z][a-z-]*)+)")
MAKE = re.compile(r"(?:^|[\s;&|(])make ([a-z-]+)")
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
ROOMS = ("api", "assets", "bench", "deploy", "docs", "examples", "fettle", "migrations", "models", "tests", "worker")
PATH = re.compile(rf"^(?:{'|'.join(ROOMS)})/[\w./*-]*")
MODULE = re.compile(rf"python -m ((?:{'|'.join(ROOMS)})(?:\.\w+)*)")
TEST = re.compile(r"`([\w/]+\.py)::(\w+)")
MOST_README_LINES = 120


def snippets(page: Path) -> Iterator[str]:
    """The commands that a page shows; of any other file what it starts with `python -m`."""
    text = page.read_text()
    if page.suffix != ".md":
        as_a_shell_would = text.replace('", "', " ").replace(", ", " ")
        yield from re.findall("python -m [a-z -]+", as_a_shell_would)
        return
    yield from FENCE.findall(text)
    yield from INLINE.findall(text)


def commands_of(group: typer.Typer, prefix: str = "") -> set[str]:
    """Every command, `keys create` and the like by both words."""
    own = {
        prefix + (command.name or command.callback.__name__.replace("_", "-")) for command in group.registered_commands
    }
    return own.union(*(commands_of(entry.typer_instance, f"{entry.name} ") for entry in group.registered_groups))


def unknown_commands(text: str, known: set[str]) -> set[str]:
    unknown = set()
    for words in FETTLE.findall(text):
        first, *rest = words.split()
        groups = {name.split()[0] for name in known if " " in name}
        wanted = f"{first} {rest[0]}" if first in groups and rest else first
        unknown |= {wanted} - known
    return unknown


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_example_env_lists_every_setting_with_its_default() -> None:
    assert settings_pages.ENV_EXAMPLE.read_text() == settings_pages.example_env(), "run: python -m tests.settings_pages"


def test_the_configuration_page_lists_every_setting_with_its_default() -> None:
    page = settings_pages.CONFIGURATION.read_text()
    assert page == settings_pages.configuration_page(page), "run: python -m tests.settings_pages"


def test_every_variable_that_the_code_names_is_on_the_configuration_page() -> None:
    sources = [file for package in ("api", "fettle", "models", "worker") for file in (ROOT / package).rglob("*.py")]
    named = {name for file in sources for name in re.findall(r"FETTLE_[A-Z0-9_]*[A-Z0-9]", file.read_text())}
    listed = set(re.findall(r"`(FETTLE_[A-Z0-9_]+)`", settings_pages.CONFIGURATION.read_text()))
    assert named - listed == set()


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_an_uncommented_example_is_a_valid_env_file(tmp_path: Path) -> None:
    lines = settings_pages.example_env().splitlines()
    given = [line[2:] for line in lines if re.match(r"# [A-Z0-9_]+=.", line)]
    file = tmp_path / ".env"
    file.write_text("\n".join(given))
    assert len(given) > 10
    assert Settings(_env_file=file) == Settings(_env_file=None)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_fettle_command_on_a_page_exists(page: Path) -> None:
    assert {name for text in snippets(page) for name in unknown_commands(text, commands_of(app))} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_on_a_page_exists(page: Path) -> None:
    named = {target for text in snippets(page) for target in MAKE.findall(text)}
    assert named - make_targets() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in targets if not (page.parent / link).exists()] == []


def absent_paths(text: str) -> set[str]:
    """Paths in the project's folders that a page names and that are not there. `*`, NAME and NN stand for any name."""
    named = {found[0] for word in INLINE.findall(text) if (found := PATH.match(word))}
    return {path for path in named if not any(ROOT.glob(re.sub("NAME|NN", "*", path).rstrip("/")))}


def absent_modules(text: str) -> set[str]:
    """What `python -m` is told to run and cannot."""
    files = {name: ROOT / name.replace(".", "/") for name in MODULE.findall(text)}
    return {
        name
        for name, file in files.items()
        if not file.with_suffix(".py").exists() and not (file / "__main__.py").exists()
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_and_module_on_a_page_exists(page: Path) -> None:
    text = page.read_text()
    assert absent_paths(text) | absent_modules(text) == set()


def test_a_path_and_a_module_that_moved_are_found() -> None:
    paths = "`fettle/jobs.py`, `fettle/jobs/`, `worker/*/methods`, `tests/test_house.py::x`"
    modules = "`python -m bench.old`, `python -m bench.sft`, `python -m fettle`"
    assert absent_paths(paths) == {"fettle/jobs.py"}
    assert absent_modules(modules) == {"bench.old"}


def absent_tests(text: str) -> set[str]:
    """Tests that a page names and that are not there. A file without a folder lies in tests/faults."""
    absent = set()
    for file, name in TEST.findall(text):
        path = ROOT / (file if "/" in file else f"tests/faults/{file}")
        if not path.exists() or not re.search(rf"(?:def|class) {re.escape(name)}", path.read_text()):
            absent.add(f"{file}::{name}")
    return absent


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_on_a_page_exists(page: Path) -> None:
    assert absent_tests(page.read_text()) == set()


def test_a_test_that_was_renamed_is_found() -> None:
    assert absent_tests("`tests/test_house.py::test_a_test_that_was_…`, `test_pause.py::test_no_more`") == {
        "test_pause.py::test_no_more"
    }


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MOST_README_LINES


def test_the_benchmarks_page_names_every_script() -> None:
    named = set(re.findall(r"`bench/(\w+)\.py`", (ROOT / "docs" / "benchmarks.md").read_text()))
    scripts = {file.stem for file in (ROOT / "bench").glob("[a-z]*.py") if "__main__" in file.read_text()}
    assert named == scripts


def test_an_invented_command_is_found() -> None:
    known = {"up", "keys create"}
    assert unknown_commands("fettle up && python -m fettle keys create --project x", known) == set()
    assert unknown_commands("$ fettle dance", known) == {"dance"}
    assert unknown_commands("python -m fettle keys burn", known) == {"keys burn"}


def test_the_images_carry_the_version_of_the_package() -> None:
    tags = re.findall(r"image: fettle-\w+:(\S+)", (ROOT / "docker-compose.yml").read_text())
    assert tags == [__version__, __version__]
