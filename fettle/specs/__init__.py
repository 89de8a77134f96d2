"""Hyperparameters per method: a discriminated union, every default with its reason."""

from collections.abc import Callable
from typing import Any

from fettle.specs import dpo, reward_model, supervised
from fettle.specs.common import Given, Strict
from fettle.specs.dpo import DPOMethod
from fettle.specs.reward_model import RewardModelMethod
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
    "SHAPES",
    "DPOMethod",
    "Given",
    "Method",
    "RewardModelMethod",
    "Strict",
    "Supervised",
    "SupervisedHyperparameters",
    "SupervisedMethod",
    "resolve",
]

Method = SupervisedMethod | DPOMethod | RewardModelMethod

TEXTS = frozenset({"chat", "sharegpt", "prompt_completion", "alpaca"})
COMPARISONS = frozenset({"preference", "ranking"})

# type: what a request must be, how its `auto`s are resolved, and the shapes of rows that it takes
METHODS: dict[str, type[Method]] = {
    "supervised": SupervisedMethod,
    "dpo": DPOMethod,
    "reward_model": RewardModelMethod,
}
RESOLVERS: dict[str, Callable[[Any, Given], dict[str, Any]]] = {
    "supervised": supervised.resolve,
    "dpo": dpo.resolve,
    "reward_model": reward_model.resolve,
}
SHAPES: dict[str, frozenset[str]] = {"supervised": TEXTS, "dpo": COMPARISONS, "reward_model": COMPARISONS}


def resolve(method: Method, given: Given) -> dict[str, Any]:
    """The method with every `auto` replaced by the value that will be used.

    Raises InvalidRequest for what the base model or the files do not allow.
    """
    return {"type": method.type, method.type: {"hyperparameters": RESOLVERS[method.type](method, given)}}
