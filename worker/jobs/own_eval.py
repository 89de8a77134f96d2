"""A job's own evaluation as an eval with two runs: the base model and the tuned one, on the prompts that both answered.

Nothing is graded again: the scores are those of the job's evaluation. Its figures over all rows are the runs' metadata.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.evals import criteria, store
from fettle.evals.outcomes import Outcome, outcome_of, sample_object
from fettle.jobs import reward_versions
from fettle.schemas.labels import LABELS_AT_MOST
from models import Eval, EvalRun, EvalRunStatus, Job

EXPECTED: dict[str, Any] = {
    "type": "string_check",
    "name": "exact_match",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.expected}}",
}

Line = dict[str, Any]


async def add(session: AsyncSession, job: Job, tuned_model: str) -> None:
    """Nothing for a job without answers to show: without a validation file, or of a model that only scores."""
    evaluation = job.evaluation or {}
    samples = [each for each in evaluation.get("samples", ()) if {"base", "tuned"} <= each.keys()]
    if not samples:
        return
    version = await reward_versions.newest(session, job.id)
    judged_by = [EXPECTED] if version is None else criteria_of(version.graders)
    config = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
    made = Eval(
        id=store.OF_JOB + job.id, project_id=job.project_id, name=f"Evaluation of {job.id}", updated_at=time.time(),
        labels={"fine_tuning_job_id": job.id}, testing_criteria=judged_by, data_source_config={"asked": config},
    )  # fmt: skip
    session.add(made)
    await session.flush()  # before its runs, which name it
    for who, model in (("base", job.base_model), ("tuned", tuned_model)):
        run = run_of(made, job, who, model, len(samples))
        session.add(run)
        await session.flush()
        store.tally(session, run, [outcome(judged_by, number, each, who, model) for number, each in enumerate(samples)])


def criteria_of(graders: Sequence[Mapping[str, Any]]) -> list[Line]:
    named = [{"grader": {**entry["grader"], "name": entry["name"]}} for entry in graders]
    return criteria.joined(named, [None] * len(named))


def run_of(made: Eval, job: Job, who: str, model: str, total: int) -> EvalRun:
    evaluation = job.evaluation or {}
    figures = {name: f"{value:.6g}" for name, value in evaluation[who].items() if isinstance(value, int | float)}
    about = {"fine_tuning_job_id": job.id, "step": str(evaluation["step"]), "rows": str(evaluation["rows"])}
    asked = {
        "type": "completions",
        "model": model,
        "source": {"type": "file_id", "id": job.validation_file},
        "input_messages": {"type": "item_reference", "item_reference": "item.prompt"},
        "sampling_params": {"temperature": 0.0},
    }
    return EvalRun(
        id=ids.new("evalrun_"), project_id=job.project_id, eval_id=made.id, name=f"{who} model", model=model,
        labels=dict([*about.items(), *figures.items()][:LABELS_AT_MOST]), servables={}, data_source={"asked": asked},
        status=EvalRunStatus.COMPLETED, total=total, passed=0, failed=0, errored=0, by_criterion={}, prompt_tokens=0,
        cached_tokens=0, completion_tokens=0,
    )  # fmt: skip


def outcome(judged_by: list[Line], number: int, sample: Line, who: str, model: str) -> Outcome:
    item: Line = {name: sample[name] for name in ("prompt", "expected") if name in sample}
    output = {"role": "assistant", "content": sample[who]}
    answer = sample_object(sample["prompt"], {"temperature": 0.0}, model, output=output, ended="stop")
    return outcome_of(judged_by, number, item, answer, scores_of(sample, who))


def scores_of(sample: Line, who: str) -> Line:
    """As graders give them; where the evaluation has none, with an error."""
    if "expected" in sample:
        return {"scores": {EXPECTED["name"]: float(sample[who].strip() == sample["expected"].strip())}, "errors": {}}
    scores = sample[f"{who}_scores"]
    lost = {"flag": "other_error", "message": "The grader gave no score."}
    return {"scores": scores, "errors": {name: lost for name, score in scores.items() if score is None}}
