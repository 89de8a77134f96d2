from typing import Annotated, Any

from pydantic import Field

from api.schemas.job import JobCreate
from fettle.jobs.dry_runs import PROMPTS, PROMPTS_AT_MOST, SAMPLES_AT_MOST


class DryRunCreate(JobCreate):
    """The body of POST /v1/fine_tuning/dry_runs: a job's, and how much to try. samples: of each prompt."""

    prompts: Annotated[int, Field(ge=1, le=PROMPTS_AT_MOST)] = PROMPTS
    samples: Annotated[int, Field(ge=2, le=SAMPLES_AT_MOST)] | None = None


def dry_run_object(model: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"object": "fine_tuning.dry_run", "model": model, **found}
