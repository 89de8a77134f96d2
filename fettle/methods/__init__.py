"""Hyperparameters per method: a discriminated union, every default with its reason."""

from collections.abc import Callable
from typing import Any

from fettle.methods import dpo, reinforcement, reward_model, rlhf, supervised
from fettle.methods.common import Given
from fettle.methods.dpo import DPOMethod
from fettle.methods.reinforcement import Reinforcement, ReinforcementHyperparameters, ReinforcementMethod
from fettle.methods.reward_model import RewardModelMethod
from fettle.methods.rlhf import RLHFMethod
from fettle.methods.supervised import EARLIER, EARLIER_LORA, Supervised, SupervisedHyperparameters, SupervisedMethod

__all__ = [
    "EARLIER",
    "EARLIER_LORA",
    "HINTS",
    "HYPERPARAMETERS",
    "METHODS",
    "SHAPES",
    "DPOMethod",
    "Given",
    "Method",
    "RLHFMethod",
    "Reinforcement",
    "ReinforcementHyperparameters",
    "ReinforcementMethod",
    "RewardModelMethod",
    "Supervised",
    "SupervisedHyperparameters",
    "SupervisedMethod",
    "resolve",
    "resolved_from",
    "shapes",
]

Method = SupervisedMethod | DPOMethod | RewardModelMethod | RLHFMethod | ReinforcementMethod

TEXTS = frozenset({"chat", "sharegpt", "prompt_completion", "alpaca"})
COMPARISONS = frozenset({"preference", "ranking"})
PROMPTS = TEXTS | {"prompts"}  # a text's own completion is the item's, for graders

# by its type: what a request must be, how its `auto`s are resolved, and the shapes of rows that it takes; `grpo` is
# another name of `reinforcement`
METHODS: dict[str, type[Method]] = {
    "supervised": SupervisedMethod,
    "dpo": DPOMethod,
    "reward_model": RewardModelMethod,
    "rlhf": RLHFMethod,
    "reinforcement": ReinforcementMethod,
    "grpo": ReinforcementMethod,
}
RESOLVERS: dict[str, Callable[[Any, Given], dict[str, Any]]] = {
    "supervised": supervised.resolve,
    "dpo": dpo.resolve,
    "reward_model": reward_model.resolve,
    "rlhf": rlhf.resolve,
    "reinforcement": reinforcement.resolve,
}
SHAPES: dict[str, frozenset[str]] = {
    "supervised": TEXTS,
    "dpo": COMPARISONS,
    "reward_model": COMPARISONS,
    "rlhf": COMPARISONS,
    "reinforcement": PROMPTS,
}
HYPERPARAMETERS = ("hyperparameters", "reward_model_hyperparameters")  # of one method
# how a method takes rows of other shapes as well
HINTS = {"rlhf": " With a 'reward_model' that is there already, prompts are enough."}


def resolve(method: Method, given: Given) -> dict[str, Any]:
    """The method with every `auto` replaced by the value that will be used.

    Raises InvalidRequest for what the base model or the files do not allow.
    """
    hyperparameters = RESOLVERS[method.type](method, given)
    rest: dict[str, Any] = {}
    if isinstance(method, ReinforcementMethod):
        rest = method.reinforcement.judges()
    elif isinstance(method, RLHFMethod):
        rest = rlhf.rest(method, given)
    return {"type": method.type, method.type: {**rest, "hyperparameters": hyperparameters}}


def resolved_from(method: Method, given: Given) -> dict[str, Any]:
    """What `resolve` needs to do it again for fewer rows, as JSON; a job keeps it beside what came of it."""
    own = getattr(method, method.type)
    asked = {name: getattr(own, name, None) for name in HYPERPARAMETERS}
    facts = ("rows", "base_parameters", "base_length", "file_bytes", "validates", "lora")
    return {
        "kind": method.type,
        "asked": {name: one.model_dump(mode="json", exclude_unset=True) for name, one in asked.items() if one},
        "given": {name: getattr(given, name) for name in facts},
    }


def shapes(method: Method) -> frozenset[str]:
    """Of the rows that the method takes: where a reward model is there already, prompts are enough."""
    given = isinstance(method, RLHFMethod) and method.rlhf.reward_model is not None
    return COMPARISONS | PROMPTS if given else SHAPES[method.type]
