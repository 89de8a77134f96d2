"""Training methods: one row each, and how a request becomes the values that a job will use."""

from collections.abc import Mapping
from typing import Any

from fettle.methods import dpo, reinforcement, reward_model, rlhf, supervised
from fettle.methods.common import Given
from fettle.methods.dpo import DPOMethod
from fettle.methods.reinforcement import Reinforcement, ReinforcementHyperparameters, ReinforcementMethod
from fettle.methods.reward_model import RewardModelMethod
from fettle.methods.rlhf import RLHFMethod
from fettle.methods.spec import REWARD_MODEL, Method, MethodSpec
from fettle.methods.supervised import EARLIER, EARLIER_LORA, Supervised, SupervisedHyperparameters, SupervisedMethod

__all__ = [
    "EARLIER",
    "EARLIER_LORA",
    "METHODS",
    "DPOMethod",
    "Given",
    "Method",
    "MethodSpec",
    "RLHFMethod",
    "Reinforcement",
    "ReinforcementHyperparameters",
    "ReinforcementMethod",
    "RewardModelMethod",
    "Supervised",
    "SupervisedHyperparameters",
    "SupervisedMethod",
    "existing_reward_model",
    "hyperparameters_of",
    "requested_reward_model",
    "resolve",
    "resolved_from",
    "shapes",
    "spec_of",
    "with_reward_model",
]

# By the type that a request names; `grpo` is another name of `reinforcement`
METHODS: dict[str, MethodSpec] = {
    "supervised": supervised.SPEC,
    "dpo": dpo.SPEC,
    "reward_model": reward_model.SPEC,
    "rlhf": rlhf.SPEC,
    "reinforcement": reinforcement.SPEC,
    "grpo": reinforcement.SPEC,
}


def spec_of(method: Method) -> MethodSpec:
    return METHODS[method.type]


def resolve(method: Method, given: Given) -> dict[str, Any]:
    """The method with every `auto` replaced by the value that will be used.

    Raises InvalidRequest for what the base model or the files do not allow.
    """
    return {"type": method.type, method.type: spec_of(method).resolve(method, given)}


def resolved_from(method: Method, given: Given) -> dict[str, Any]:
    """What `resolve` needs to do it again for fewer rows, as JSON. A job keeps it beside the resolved values."""
    own = getattr(method, method.type)
    asked = {name: getattr(own, name, None) for name in hyperparameters_of(method.type)}
    facts = ("rows", "base_parameters", "base_length", "file_bytes", "validates", "lora")
    return {
        "kind": method.type,
        "asked": {name: one.model_dump(mode="json", exclude_unset=True) for name, one in asked.items() if one},
        "given": {name: getattr(given, name) for name in facts},
    }


def hyperparameters_of(kind: str) -> tuple[str, ...]:
    """The names of a method's sets of hyperparameters, one for each model that it trains."""
    return tuple(METHODS[kind].publishes.values())


def shapes(method: Method) -> frozenset[str]:
    """Of the rows that the method takes."""
    found = spec_of(method)
    return found.shapes_of(method) or found.shapes


def requested_reward_model(method: Method) -> str | None:
    """The name of the existing reward model that the request asks for."""
    field = spec_of(method).reward_model
    return getattr(getattr(method, method.type), field) if field else None


def existing_reward_model(method: Mapping[str, Any]) -> str | None:
    """The same of a job's method. None also where the job trains its own."""
    spec, settings = METHODS[method["type"]], method[method["type"]]
    if not spec.reward_model or settings.get(spec.publishes[REWARD_MODEL]) is not None:
        return None
    name: str | None = settings.get(spec.reward_model)
    return name


def with_reward_model(method: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A job's method that names the reward model which the job has trained."""
    kind = method["type"]
    return {**method, kind: {**method[kind], METHODS[kind].reward_model: name}}
