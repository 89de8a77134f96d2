"""What a grader may import: all of Python's standard library, and nothing that is installed."""

import subprocess

import pytest

from fettle.rewards.sandbox import Limits, Sandbox, Walls, languages, walls_of

PURE = ["signal", "socket", "email.message", "json.tool", "concurrent.futures", "encodings.idna", "unittest", "asyncio"]
COMPILED = [
    "_socket",
    "_decimal",
    "_json",
    "_struct",
    "_csv",
    "mmap",
    "pyexpat",
    "math",
    "bz2",
    "lzma",
    "sqlite3",
    "ssl",
]


@pytest.mark.parametrize("strongest", [False, True], ids=["the minimum", "all that works here"])
def test_python_user_code_imports_every_module_that_python_has_here(strongest: bool) -> None:
    there = []
    for name in [*PURE, *COMPILED]:  # a Python may have been built without bz2, lzma, sqlite3 or ssl
        command = [languages.interpreter(), "-I", "-S", "-c", f"import {name}"]
        if subprocess.run(command, capture_output=True).returncode == 0:
            there.append(name)
    assert set(PURE) <= set(there)
    source = "import importlib\ndef grade(sample, item):\n    importlib.import_module(item)\n    return 1.0"
    with Sandbox(source, Limits(seconds=10), walls=walls_of() if strongest else Walls()) as sandbox:
        results = sandbox.grade([({}, name) for name in there])
    assert {name: result.error for name, result in zip(there, results, strict=True) if result.error} == {}
