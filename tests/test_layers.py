"""The layer law: who may import whom. Read from the source of every module, followed through our own modules."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("api", "assets", "bench", "deploy", "examples", "fettle", "migrations", "models", "tests", "worker")

HTTP = frozenset({"fastapi", "starlette"})
TORCH = frozenset({"torch", "transformers", "trl", "peft", "accelerate", "datasets"})
SERVICES = frozenset(
    {"fettle.db", "fettle.queue", "fettle.storage", "models", "sqlalchemy", "arq", "redis", "boto3", "httpx"}
)


@dataclass(frozen=True)
class Rule:
    sentence: str
    forbidden: frozenset[str]
    under: tuple[str, ...] = PACKAGES
    except_under: tuple[str, ...] = ()

    def holds_for(self, module: str) -> bool:
        return within(module, self.under) and not within(module, self.except_under)


RULES = (
    Rule("models import no layer above", frozenset({"api", "worker", "fettle"}) | HTTP, ("models",)),
    Rule("fettle imports no layer above and no HTTP", frozenset({"api", "worker"}) | HTTP, ("fettle",)),
    Rule("migrations know rows only", frozenset({"api", "worker"}) | HTTP, ("migrations",)),
    Rule("the api never imports the worker", frozenset({"worker"}), ("api",)),
    Rule("the worker never imports the api", frozenset({"api"}), ("worker",)),
    Rule("torch stays in worker, assets, bench and tests", TORCH, except_under=("worker", "assets", "bench", "tests")),
    Rule("a training child reaches no database, queue, storage or network", SERVICES, ("worker.training",)),
)  # fmt: skip


def within(name: str, parents: tuple[str, ...] | frozenset[str]) -> bool:
    return any(name == parent or name.startswith(parent + ".") for parent in parents)


def imports_of(source: str, module: str, is_package: bool = False) -> set[str]:
    """Every dotted name that the source imports, wherever it stands; `from a import b` counts as a and a.b."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                base = package[: len(package) - node.level + 1] if node.level else []
                origin = ".".join([*base, *([node.module] if node.module else [])])
                names |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                names.add(name)
    return names


def read_tree(root: Path) -> dict[str, set[str]]:
    """Module name → what it imports, for every .py under our packages."""
    tree = {}
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            tree[module] = imports_of(file.read_text(), module, is_package)
    return tree


def loaded_by(name: str, tree: dict[str, set[str]]) -> Iterator[str]:
    """Our modules that run when `name` is imported: itself and the packages around it."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if module in tree:
            yield module


def chains(start: str, tree: dict[str, set[str]]) -> dict[str, tuple[str, ...]]:
    """Every name that `start` reaches → the shortest way to it."""
    found: dict[str, tuple[str, ...]] = {}
    seen = {start}
    frontier: list[tuple[str, ...]] = [(start,)]
    while frontier:
        following: list[tuple[str, ...]] = []
        for way in frontier:
            for name in sorted(tree[way[-1]]):
                found.setdefault(name, (*way, name))
                for module in loaded_by(name, tree):
                    if module not in seen:
                        seen.add(module)
                        following.append((*way, module))
        frontier = following
    return found


def violations(tree: dict[str, set[str]]) -> list[str]:
    """One sentence per broken import; a chain is reported once, where it leaves the part that the rule protects."""
    sentences = set()
    for module in tree:
        reached = chains(module, tree)
        for rule in RULES:
            if not rule.holds_for(module):
                continue
            for name, way in reached.items():
                if within(name, rule.forbidden) and not any(rule.holds_for(step) for step in way[1:-1]):
                    sentences.add(f"{rule.sentence}, but {' → '.join(way)}")
    return sorted(sentences)


def write_tree(root: Path, files: dict[str, str]) -> dict[str, set[str]]:
    for name, source in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return read_tree(root)


def test_every_module_keeps_the_layer_law() -> None:
    assert violations(read_tree(ROOT)) == []


def test_the_whole_house_is_read() -> None:
    tree = read_tree(ROOT)
    assert {"api.app", "fettle.settings", "models", "migrations.env", "worker.training", "tests.test_layers"} <= {*tree}
    assert "pydantic_settings" in tree["fettle.settings"]
    assert "torch" in set().union(*(names for module, names in tree.items() if within(module, ("worker",))))


BROKEN = {
    "models import no layer above": {"models/job.py": "from fettle.ids import new"},
    "fettle imports no layer above and no HTTP": {"fettle/jobs/lifecycle.py": "from fastapi import HTTPException"},
    "migrations know rows only": {"migrations/env.py": "import api.app"},
    "the api never imports the worker": {"api/app.py": "from worker.training import loop"},
    "the worker never imports the api": {"worker/engine/app.py": "from api import errors"},
    "torch stays in worker, assets, bench and tests": {"examples/sft.py": "import torch.nn as nn"},
    "a training child reaches no database, queue, storage or network": {
        "worker/training/loop.py": "from fettle import storage"
    },
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.sentence)
def test_each_rule_names_the_module_that_breaks_it(rule: Rule, tmp_path: Path) -> None:
    files = BROKEN[rule.sentence]
    (sentence, *_) = violations(write_tree(tmp_path, files))
    broken = next(iter(files)).removesuffix(".py").replace("/", ".")
    assert sentence.startswith(f"{rule.sentence}, but {broken} → ")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_training_child_may_reach_none_of_the_services(name: str, tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"worker/training/loop.py": f"import {name}"})
    assert violations(tree) == [f"{RULES[-1].sentence}, but worker.training.loop → {name}"]


def test_a_way_round_through_another_module_is_found_and_reported_once(tmp_path: Path) -> None:
    tree = write_tree(
        tmp_path,
        {
            "worker/training/loop.py": "from worker.training import work",
            "worker/training/process/job_spec.py": "from fettle.datasets.files import fetch",
            "fettle/datasets/files.py": "import boto3",
        },
    )
    (sentence,) = violations(tree)
    assert sentence.endswith("but worker.training.process.job_spec → fettle.datasets.files → boto3")


def test_a_package_that_imports_in_its_init_is_found(tmp_path: Path) -> None:
    files = {
        "worker/training/loop.py": "from fettle.datasets.formats.rows import read",
        "fettle/datasets/formats/__init__.py": "import sqlalchemy",
        "fettle/datasets/formats/rows.py": "",
    }
    (sentence,) = violations(write_tree(tmp_path, files))
    assert sentence.endswith("but worker.training.loop → fettle.datasets.formats → sqlalchemy")


def test_what_the_law_allows_breaks_nothing(tmp_path: Path) -> None:
    files = {
        "api/app.py": "import fastapi\nfrom fettle import jobs\nfrom models import Job",
        "fettle/jobs/lifecycle.py": "import sqlalchemy\nfrom models import Job",
        "models/job.py": "import sqlalchemy",
        "worker/jobs/supervisor.py": "from fettle import db, queue\nimport models\nimport httpx",
        "worker/training/loop.py": "import torch\nfrom fettle.errors import Conflict\nimport modelscope",
        "worker/engine/app.py": "import fastapi, torch",
        "bench/load.py": "import torch, httpx",
        "fettle/errors.py": "",
    }
    assert violations(write_tree(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import torch", "torch"),
        ("import torch.nn as nn", "torch.nn"),
        ("from fettle import db", "fettle.db"),
        ("from . import sibling", "fettle.datasets.formats.sibling"),
        ("from .sibling import name", "fettle.datasets.formats.sibling"),
        ("from ...db import Database", "fettle.db"),
        ("def later():\n    import torch", "torch"),
        ("if TYPE_CHECKING:\n    import torch", "torch"),
        ("import importlib\nimportlib.import_module('torch')", "torch"),
        ("__import__('torch')", "torch"),
    ],
)
def test_every_way_to_import_is_read(source: str, name: str) -> None:
    assert name in imports_of(source, "fettle.datasets.formats.render")


def test_a_relative_import_in_an_init_starts_at_its_own_package() -> None:
    assert "fettle.datasets.formats.render" in imports_of(
        "from .render import Renderer", "fettle.datasets.formats", is_package=True
    )
