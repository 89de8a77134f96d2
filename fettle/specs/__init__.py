"""Hyperparameters per method: a discriminated union, every default with its reason."""

from collections.abc import Callable
from typing import Any

from fettle.specs import reinforcement, supervised
from fettle.specs.common import Given, Strict
from fettle.specs.reinforcement import Reinforcement, ReinforcementHyperparameters, ReinforcementMethod
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
    "Reinforcement",
    "ReinforcementHyperparameters",
    "ReinforcementMethod",
    "Strict",
    "Supervised",
    "SupervisedHyperparameters",
    "SupervisedMethod",
    "resolve",
]

Method = SupervisedMethod | ReinforcementMethod

# type: what a request must be, and how its `auto`s are resolved; `grpo` is another name of `reinforcement`
METHODS: dict[str, type[Method]] = {
    "supervised": SupervisedMethod,
    "reinforcement": ReinforcementMethod,
    "grpo": ReinforcementMethod,
}
RESOLVERS: dict[str, Callable[[Any, Given], dict[str, Any]]] = {
    "supervised": supervised.resolve,
    "reinforcement": reinforcement.resolve,
}


def resolve(method: Method, given: Given) -> dict[str, Any]:
    """The method with every `auto` replaced by the value that will be used.

    Raises InvalidRequest for what the base model or the files do not allow.
    """
    hyperparameters = RESOLVERS[method.type](method, given)
    kept = method.reinforcement.judges() if isinstance(method, ReinforcementMethod) else {}
    return {"type": method.type, method.type: {**kept, "hyperparameters": hyperparameters}}
