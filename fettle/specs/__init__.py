"""Hyperparameters per method: a discriminated union, every default with its reason."""

from collections.abc import Callable
from typing import Any

from fettle.specs import supervised
from fettle.specs.common import Given, Strict
from fettle.specs.supervised import (
    EARLIER,
    EARLIER_LORA,
    Supervised,
    SupervisedHyperparameters,
    SupervisedMethod,
)

__all__ = [
    "EARLIER",
    "EARLIER_LORA",
    "METHODS",
    "Given",
    "Method",
    "Strict",
    "Supervised",
    "SupervisedHyperparameters",
    "SupervisedMethod",
    "resolve",
]

Method = SupervisedMethod  # a union as soon as there are two

# type: what a request must be, and how its `auto`s are resolved
METHODS: dict[str, type[Method]] = {"supervised": SupervisedMethod}
RESOLVERS: dict[str, Callable[[Any, Given], dict[str, Any]]] = {"supervised": supervised.resolve}


def resolve(method: Method, given: Given) -> dict[str, Any]:
    """The method with every `auto` replaced by the value that will be used.

    Raises InvalidRequest for what the base model or the files do not allow.
    """
    return {"type": method.type, method.type: {"hyperparameters": RESOLVERS[method.type](method, given)}}
