"""Dry runs: what a reinforcement job would see at its first step, told before it is made.

A dry run is a request to grade whose samples are still to be written: a worker takes prompts of the training file,
has the engine write a group of completions for each, and scores them.
"""

from dataclasses import asdict
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from fettle import methods
from fettle.errors import InvalidRequest, Unavailable
from fettle.inference.client import Servable
from fettle.jobs import grading_requests
from fettle.jobs.planning import Plan
from fettle.methods.spec import nothing
from models import Grading

PROMPTS, PROMPTS_AT_MOST = 8, 32
SAMPLES_AT_MOST = 16


async def create(
    session: AsyncSession,
    project_id: str,
    plan: Plan,
    model: Servable,
    *,
    prompts: int,
    samples: int | None,
    seed: int,
    instruction: str | None = None,
    right_from: float | None = None,
) -> Grading:
    """model: what the job would go on from. samples: of each prompt; None: the job's group_size.
    instruction: put before each prompt. right_from: the reward from which a completion is counted as right.

    Raises InvalidRequest for a method that does not learn from rewards.
    """
    kind = plan.method["type"]
    if plan.graders is None:
        raise InvalidRequest(
            f"The method {kind!r} learns from no rewards, so there is nothing to try: a dry run is for "
            f"{' and '.join(repr(name) for name in REWARDED)}.",
            param="method.type",
        )
    if "tools" in plan.method[kind]:
        raise InvalidRequest(
            "A dry run writes one answer to each prompt and calls no tools, so it cannot show what this job would see. "
            "Remove 'tools' to try the graders, or start the job: its first event on rewards says the same.",
            param=f"method.{kind}.tools",
        )
    asked = plan.method[kind]["hyperparameters"]
    wanted = {
        "storage_key": plan.training.storage_key,
        "model": asdict(model),
        "prompts": prompts,
        "samples": min(SAMPLES_AT_MOST, asked["group_size"]) if samples is None else samples,
        "seed": seed,
        "sampling": {
            "temperature": asked["temperature"],
            "top_p": 1.0,
            "max_completion_tokens": asked["max_completion_tokens"],
            **({"response_format": form} if (form := plan.method[kind].get("response_format")) else {}),
        },
        "errors_at_most": asked["max_grader_errors"],
        "instruction": instruction,
        "right_from": right_from,
    }
    models = {name: asdict(servable) for name, servable in plan.judges.items()}
    return await grading_requests.create(
        session, project_id, {"graders": plan.graders, "models": models, "dry_run": wanted}
    )


REWARDED = [name for name, spec in methods.METHODS.items() if spec.graders is not nothing]


def outcome(result: dict[str, Any]) -> dict[str, Any]:
    """What a worker found. Raises InvalidRequest for graders that do not load, Unavailable for what came of nothing."""
    error = result.get("error")
    if error is None:
        return result
    if error["kind"] == "load":
        raise InvalidRequest(error["message"], code="invalid_grader", param="method")
    raise Unavailable(error["message"])
