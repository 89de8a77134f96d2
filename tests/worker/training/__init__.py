"""Tests of what trains. `test_rlhf` can be imported from here as well: scripts outside of the project do so."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "test_rlhf":
        return importlib.import_module("tests.worker.training.methods.test_rlhf")
    raise AttributeError(name)
