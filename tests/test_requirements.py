"""What the code imports, what pyproject.toml asks for and what constraints.txt pins agree with one another."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_layers import PACKAGES

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BASE = (*PROJECT["dependencies"],)
TRAIN = (*BASE, *PROJECT["optional-dependencies"]["train"])
INTEGRATIONS = (*TRAIN, *PROJECT["optional-dependencies"]["integrations"])
RAY = (*INTEGRATIONS, *PROJECT["optional-dependencies"]["ray"])
DEV = (*RAY, *PROJECT["optional-dependencies"]["dev"])
ELSEWHERE = {ROOT / "tests" / "clients" / "drive.py"}  # it runs in an environment of its own, .venv/clients
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#")


@cache
def needs(requirements: tuple[str, ...]) -> set[str]:
    """Every distribution that an installation of the requirements brings, as this environment knows them."""
    found: set[str] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        for extra in ("", *requirement.extras):
            key = canonicalize_name(requirement.name) + (f"[{extra}]" if extra else "")
            if key in found:
                continue
            found.add(key)
            try:
                inner = [Requirement(text) for text in requires(requirement.name) or []]
            except PackageNotFoundError:
                continue
            todo += [r for r in inner if r.marker is None or r.marker.evaluate({"extra": extra})]
    return found


def third_party_imports(folder: Path, at_start_only: bool) -> dict[str, str]:
    """Top-level module → the file that imports it; imports for type checkers are left out."""

    class Reader(ast.NodeVisitor):
        def visit_If(self, node: ast.If) -> None:
            if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                self.generic_visit(node)

        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            if not at_start_only:
                self.generic_visit(node)

        visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

        def visit_Import(self, node: ast.Import) -> None:
            names.update({alias.name.split(".")[0]: str(file) for alias in node.names})

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            if node.level == 0 and node.module:
                names[node.module.split(".")[0]] = str(file)

    names: dict[str, str] = {}
    for file in {*folder.rglob("*.py")} - ELSEWHERE:
        Reader().visit(ast.parse(file.read_text()))
    return {name: file for name, file in names.items() if name not in sys.stdlib_module_names | {*PACKAGES}}


distributions = cache(packages_distributions)  # top-level module → the distributions that hold it


def not_brought(imports: dict[str, str], requirements: tuple[str, ...]) -> dict[str, str]:
    brought, providers = needs(requirements), distributions()
    return {
        name: file
        for name, file in imports.items()
        if not any(canonicalize_name(provider) in brought for provider in providers.get(name, []))
    }


@pytest.mark.parametrize(
    ("package", "requirements", "at_start_only"),
    [
        ("api", BASE, False),
        ("models", BASE, False),
        ("migrations", BASE, False),
        ("fettle", BASE, True),
        ("fettle", TRAIN, False),
        ("worker", TRAIN, True),
        ("worker", RAY, False),
        ("examples", DEV, False),
        ("bench", DEV, False),
        ("tests", DEV, False),
    ],
)
def test_every_import_comes_with_the_requirements(
    package: str, requirements: tuple[str, ...], at_start_only: bool
) -> None:
    assert not_brought(third_party_imports(ROOT / package, at_start_only), requirements) == {}


def test_an_import_that_nothing_brings_is_found_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "late.py"
    file.write_text("import fastapi\ndef later():\n    import torch.nn")
    assert not_brought(third_party_imports(tmp_path, at_start_only=False), BASE) == {"torch": str(file)}
    assert not_brought(third_party_imports(tmp_path, at_start_only=True), BASE) == {}
    assert not_brought(third_party_imports(tmp_path, at_start_only=False), TRAIN) == {}


def test_the_base_requirements_bring_no_torch() -> None:
    assert needs(BASE) & {"torch", "transformers", "trl", "peft"} == set()
    assert "torch" in needs(TRAIN)


def test_every_requirement_is_pinned() -> None:
    pinned = {canonicalize_name(name) for name in PINS}
    assert {canonicalize_name(Requirement(text).name) for text in DEV} - pinned == set()


def test_every_pin_meets_its_requirement() -> None:
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    wrong = [
        text
        for text in DEV
        if not (requirement := Requirement(text)).specifier.contains(pins[canonicalize_name(requirement.name)])
    ]
    assert wrong == []


def test_pins_are_bare_versions_without_hosts_paths_or_builds() -> None:
    text = (ROOT / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pin = r"[A-Za-z0-9_.-]+==[0-9a-z.]+(; python_full_version < \"[0-9.]+\")?"
    assert [line for line in lines if not re.fullmatch(pin, line)] == []
    assert lines == sorted(lines, key=str.lower)
