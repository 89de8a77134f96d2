"""What a run leaves behind: checkpoints as they come, and at the end the adapter, its metrics, and the job's success.

Objects go first, under a prefix that carries the fence, the manifest last; then one transaction makes them count.
"""

import csv
import io
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids, methods
from fettle.datasets import files
from fettle.errors import TrainingFailed
from fettle.estimates import estimate, measurements
from fettle.jobs import events, lifecycle, proof_checks, proofs, states
from fettle.methods import METHODS
from fettle.registry import tuned_models
from fettle.storage import artifacts
from fettle.webhooks import events as webhooks
from models import Checkpoint, File, Job, JobStatus, Project, Proof, TunedModel
from worker.attempts.attempt import Attempt
from worker.jobs import own_eval, verification

Verify = Callable[[str], Awaitable[Sequence[Proof]]]  # of a prefix in storage

# OpenAI's, then what the field also looks at
COLUMNS = ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"]
COLUMNS += ["learning_rate", "grad_norm", "tokens", "tokens_per_second"]
UNTOLD = {"epoch", "total_steps"}


async def model_name(session: AsyncSession, job: Job) -> str:
    project = await session.get_one(Project, job.project_id)
    return lifecycle.tuned_model_name(job, project.name)


async def publish_checkpoint(attempt: Attempt, folder: Path, line: dict[str, Any]) -> None:
    """Raises Fenced."""
    step = line["step"]
    where = f"{attempt.prefix}/checkpoints/step-{step:06d}"
    await attempt.retry(lambda: artifacts.upload(attempt.storage, folder, where))

    async def change(session: AsyncSession, row: Job) -> None:
        furthest = await session.scalar(select(func.max(Checkpoint.step)).where(Checkpoint.job_id == row.id))
        if step > (furthest or 0):
            row.deaths = 0  # progress: the deaths before it are not what ends the job
        await session.execute(delete(Checkpoint).where(Checkpoint.job_id == row.id, Checkpoint.step == step))
        name = f"{await model_name(session, row)}:ckpt-step-{step}"
        session.add(
            Checkpoint(
                id=ids.new("ftckpt_"),
                job_id=row.id,
                project_id=row.project_id,
                name=name,
                step=step,
                metrics=line["metrics"],
                prefix=where,
            )
        )
        events.add(session, row.id, f"Checkpoint created at step {step}: {name}")

    await attempt.write(change)


async def publish_evaluation(attempt: Attempt, evaluation: dict[str, Any]) -> None:
    """Raises Fenced."""
    first = evaluation.get("phase") == tuned_models.REWARD_MODEL
    who = "untrained reward model → trained" if first else "base model → tuned"
    spec = METHODS[attempt.job.method["type"]]
    message = f"Evaluation on {evaluation['rows']:,} validation rows, {who}: {compared(evaluation, spec.figures)}"
    figures = {name: value for name, value in evaluation.items() if name != "samples"}

    def change(session: AsyncSession, row: Job) -> None:
        of_reward_model = {"reward_model": (row.evaluation or {}).get("reward_model")} if "phase" in evaluation else {}
        row.evaluation = {"reward_model": evaluation} if first else {**evaluation, **of_reward_model}
        events.add(session, row.id, message, data=figures)

    await attempt.write(change)


def compared(evaluation: dict[str, Any], figures: Mapping[str, str]) -> str:
    """Every figure that both have, as `loss 2.1000 → 0.4000`; shares in percent."""
    base, tuned = evaluation["base"], evaluation["tuned"]
    shown = []
    for name, form in figures.items():
        if base.get(name) is not None and tuned.get(name) is not None:
            shown.append(f"{name.replace('_', ' ')} {base[name]:{form}} → {tuned[name]:{form}}")
    return ", ".join(shown)


async def publish_reward_model(attempt: Attempt, folder: Path, found: dict[str, Any] | None = None) -> None:
    """Of a job that trains a policy against it: a model of its own, which the job names. Raises Fenced.

    found: what its training can show for itself. Its copy in storage is checked with the policy's, when the device is
    free.
    """
    where = f"{attempt.prefix}/reward_model"
    await upload_adapter(attempt, folder, where)
    rows = await verification.rows_uploaded(attempt)

    async def change(session: AsyncSession, row: Job) -> None:
        name = f"{await model_name(session, row)}:reward-model"
        await session.execute(delete(TunedModel).where(TunedModel.name == name))  # of an attempt that died after it
        session.add(
            TunedModel(
                name=name,
                project_id=row.project_id,
                job_id=row.id,
                created_by=row.created_by,
                base_model=row.base_model,
                kind=tuned_models.REWARD_MODEL,
                prefix=where,
            )
        )
        row.method = methods.with_reward_model(row.method, name)
        if found:
            checks = proof_checks.of_training(found["evidence"], rows)
            proof = Proof(
                job_id=row.id,
                kind=tuned_models.REWARD_MODEL,
                model=name,
                prefix=where,
                checks=checks,
                probe=found["probe"],
                created_at=time.time(),
            )
            await proofs.save(session, proof)
        events.add(session, row.id, f"New reward model created: {name}")

    await attempt.write(change)


async def upload_adapter(attempt: Attempt, folder: Path, where: str) -> None:
    """Raises TrainingFailed for a folder with more than an adapter; then nothing counts."""
    try:
        await attempt.retry(lambda: artifacts.upload(attempt.storage, folder, where, only=artifacts.ADAPTER_FILES))
    except artifacts.Unexpected as error:
        raise TrainingFailed("unexpected_files", str(error)) from error


async def publish(
    attempt: Attempt,
    folder: Path,
    done: dict[str, Any],
    more: Sequence[Path] = (),
    verify: Verify | None = None,
) -> None:
    """more: result files beside the step metrics. verify: compares what storage gives back with what was trained.

    Raises Fenced, and TrainingFailed for a folder with more than an adapter, and for an adapter that is not what was
    trained; then nothing counts.
    """
    where = f"{attempt.prefix}/adapter"
    await upload_adapter(attempt, folder, where)
    found = await verify(where) if verify else []
    steps = await attempt.read(lambda session: events.metrics(session, attempt.job.id))
    table = step_metrics(steps, METHODS[attempt.job.method["type"]].accuracy)
    result = files.new(attempt.job.project_id, f"{attempt.job.id}-metrics.csv", files.RESULTS, len(table))
    result.created_by = attempt.job.created_by
    # Under the fence: without a row they are litter, and known as such
    result.storage_key = f"{attempt.prefix}/metrics.csv"
    await attempt.retry(lambda: artifacts.put_bytes(attempt.storage, result.storage_key, table))
    measured = await attempt.read(lambda session: measure(session, attempt))
    results = [result]
    for path in more:
        results.append(await publish_file(attempt, path))

    async def change(session: AsyncSession, row: Job) -> None:
        name = await model_name(session, row)
        session.add_all(results)
        session.add(
            TunedModel(
                name=name,
                project_id=row.project_id,
                job_id=row.id,
                created_by=row.created_by,
                base_model=row.base_model,
                kind=tuned_models.kind_of(row),
                prefix=where,
            )
        )
        for proof in found:
            proof.model = proof.model or name
            await proofs.save(session, proof)
        states.move(row, JobStatus.SUCCEEDED)
        row.finished_at = time.time()
        row.lease_until = row.pause_requested_at = row.preempted_for = row.kept_by = None
        row.fine_tuned_model, row.trained_tokens = name, done["trained_tokens"]
        row.measured = measured
        row.result_files = [file.id for file in results]
        await own_eval.add(session, row, name)
        events.add(session, row.id, f"New fine-tuned model created: {name}")
        events.add(session, row.id, "The job has successfully completed")
        webhooks.add(session, row.project_id, "fine_tuning.job.succeeded", row.id)

    await attempt.write(change)


async def measure(session: AsyncSession, attempt: Attempt) -> dict[str, Any] | None:
    """What the job took, with its cost where the operator has set a price."""
    found = await measurements.of_job(session, attempt.job, time.time())
    price = attempt.settings.price
    if found is not None:
        found["cost"] = None if price is None else estimate.cost(found["seconds"], price, found["gpus"])
    return found


async def publish_file(attempt: Attempt, path: Path) -> File:
    """A result file's row, for the caller to add."""
    file = files.new(attempt.job.project_id, path.name, files.RESULTS, path.stat().st_size)
    file.created_by = attempt.job.created_by
    file.storage_key = f"{attempt.prefix}/{path.name}"
    await attempt.retry(lambda: attempt.storage.put_file(file.storage_key, path))
    return file


def step_metrics(steps: dict[int, dict[str, float]], accuracy: str) -> bytes:
    """OpenAI's step metrics CSV, and whatever else the method reports as columns behind it.

    accuracy: the metric that OpenAI calls `train_accuracy`.
    """
    seen = {name for values in steps.values() for name in values}
    columns = (*COLUMNS, *sorted(seen - UNTOLD - {accuracy} - set(COLUMNS)))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for step, values in steps.items():
        known = values | ({"train_accuracy": values[accuracy]} if accuracy in values else {})
        writer.writerow([step, *(known.get(name, "") for name in columns[1:])])
    return out.getvalue().encode()
