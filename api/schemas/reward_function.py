from typing import Annotated, Any

from pydantic import Field, StringConstraints

from fettle.rewards import FUNCTIONS, RewardFunction
from fettle.schemas.strict import Strict
from models import RewardSource

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
SAMPLES_AT_MOST = 20


class FunctionCreate(Strict):
    """`source`: Python that defines `reward(prompt, completion, example)` or `grade(sample, item)`."""

    name: Name
    source: str


class TrialSample(Strict):
    """`completion`: what is scored. `item`: the dataset row that it belongs to."""

    completion: str
    item: dict[str, Any] = Field(default_factory=dict)


class Trial(Strict):
    source: str
    samples: Annotated[list[TrialSample], Field(min_length=1, max_length=SAMPLES_AT_MOST)]


def built_in_object(name: str, function: RewardFunction) -> dict[str, Any]:
    return {
        "name": name,
        "object": "reward_function",
        "description": function.description,
        "parameters": function.parameters.model_json_schema(),
        "sandboxed": function.sandboxed,
        "examples": [
            {"completion": e.completion, "item": e.item, "parameters": e.parameters, "value": e.value}
            for e in function.examples
        ],
    }


def version_object(row: RewardSource) -> dict[str, Any]:
    """With the fields of a built-in one, and without its source, which may be long."""
    return {
        "id": row.id,
        "object": "reward_function",
        "created_at": int(row.created_at),
        "name": row.name,
        "version": row.version,
        "description": f"Python of this project, version {row.version}.",
        "parameters": {"type": "object", "properties": {}},
        "sandboxed": True,
        "examples": [],
    }


def source_object(row: RewardSource) -> dict[str, Any]:
    return {**version_object(row), "source": row.source}


def functions_list(own: list[RewardSource]) -> dict[str, Any]:
    """The project's own, and the built-in ones."""
    data = [version_object(row) for row in own]
    data += [built_in_object(name, function) for name, function in FUNCTIONS.items()]
    return {"object": "list", "data": data, "has_more": False}


def trial_object(result: dict[str, Any]) -> dict[str, Any]:
    """Of each sample its score, or null and why; what it printed, and how long it took."""
    data = [
        {
            "score": score["reward"],
            "error": next((failure["message"] for failure in score["errors"].values()), None),
            "printed": score["printed"],
            "seconds": score["seconds"],
        }
        for score in result["scores"]
    ]
    return {"object": "reward_function.trial", "data": data, "sandbox": result["sandbox"]}
