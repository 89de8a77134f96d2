from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from fettle import methods
from fettle.errors import InvalidRequest, NotFound, from_schema
from fettle.jobs import placement, proof_checks, proofs
from fettle.jobs.waiting import Waiting
from fettle.methods.common import ITEMS_AT_MOST
from fettle.schemas.labels import Labels
from fettle.schemas.strict import Strict
from models import Checkpoint, Event, Job, JobStatus, Proof

TRAINED = ("train_loss", "train_mean_token_accuracy")
VALIDATED = ("valid_loss", "valid_mean_token_accuracy")

Suffix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]  # of a tuned model's name
WorkerLabel = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class AnyMethod(Strict):
    """Looked at for its type first, so that an unknown method is named as such."""

    model_config = ConfigDict(extra="allow")
    type: str


class Resources(Strict):
    """What a job asks of a slot."""

    gpus: Annotated[int, Field(ge=1, le=1024)] | None = None
    gpu_memory_gib: Annotated[float, Field(gt=0, le=4096)] | None = None
    labels: Annotated[list[WorkerLabel], Field(max_length=16)] | None = None


class TimeLimits(Strict):
    """How long all attempts at a job may run together."""

    hours: Annotated[float, Field(gt=0, le=87_600)] | None = None
    gpu_hours: Annotated[float, Field(gt=0, le=10_000_000)] | None = None


def said(fields: Resources | TimeLimits | None) -> dict[str, Any] | None:
    return (fields.model_dump(exclude_none=True) or None) if fields else None


class JobCreate(Strict):
    """The body of POST /v1/fine_tuning/jobs."""

    model: str
    training_file: str
    validation_file: str | None = None
    method: AnyMethod | None = None
    hyperparameters: methods.SupervisedHyperparameters | None = None  # OpenAI's older place for them
    suffix: Suffix | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    metadata: Labels | None = None
    integrations: Annotated[list[dict[str, Any]], Field(max_length=ITEMS_AT_MOST)] | None = None
    priority: placement.Priority | None = None  # ours
    resources: Resources | None = None  # ours
    limits: TimeLimits | None = None  # ours


def method_of(body: JobCreate) -> methods.Method:
    """Raises InvalidRequest for a method that Fettle does not train, wrong fields, and two sets of hyperparameters."""
    if body.method is None:
        return methods.SupervisedMethod(
            type="supervised",
            supervised=methods.Supervised(hyperparameters=body.hyperparameters or methods.SupervisedHyperparameters()),
        )
    if body.hyperparameters is not None:
        raise InvalidRequest(
            "'hyperparameters' cannot be combined with 'method'. Put them in method.supervised.hyperparameters.",
            param="hyperparameters",
        )
    if body.method.type not in methods.METHODS:
        raise InvalidRequest(
            f"The method {body.method.type!r} is not supported. Choose one of: {', '.join(methods.METHODS)}.",
            param="method.type",
        )
    try:
        return methods.METHODS[body.method.type].request.model_validate(body.method.model_dump())
    except ValidationError as error:
        raise from_schema(error.errors(), within=("method",)) from error


def job_object(job: Job, waits: Waiting | None = None) -> dict[str, Any]:
    hyperparameters = job.method[job.method["type"]]["hyperparameters"]
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": int(job.created_at),
        "finished_at": whole(job.finished_at),
        "estimated_finish": whole(job.estimated_finish) if job.status == JobStatus.RUNNING else None,
        "model": job.started_from or job.base_model,
        "started_from": job.started_from,  # ours: the model whose adapter goes on; null: a fresh one
        "fine_tuned_model": job.fine_tuned_model,
        "organization_id": job.project_id,
        "status": str(job.status),
        "pause_requested_at": whole(job.pause_requested_at),  # ours: still running, and about to pause
        "training_file": job.training_file,
        "validation_file": job.validation_file,
        "result_files": job.result_files,
        "trained_tokens": job.trained_tokens,
        "method": {name: value for name, value in job.method.items() if name != "resolved_from"},
        "hyperparameters": {
            key: hyperparameters[key] for key in ("n_epochs", "batch_size", "learning_rate_multiplier")
        },
        "seed": job.seed,
        "user_provided_suffix": job.suffix,
        "metadata": job.labels,
        "integrations": job.integrations or [],
        "priority": placement.name_of(job.priority),  # ours
        "resources": job.resources,  # ours: what it asks of a slot; null: nothing
        "created_by": job.created_by,  # ours: the API key
        "limits": job.limits,  # ours: how long its runs may take together; null: no limit of its own
        "waiting": waits.to_json() if waits else None,  # ours: its place in the queue, and why it waits
        "progress": job.progress if job.status == JobStatus.RUNNING else None,  # ours: how far its step is
        "estimate": job.estimate,  # ours: what it was foreseen to take when it was created
        "measured": job.measured,  # ours: what it took; null: it has not succeeded
        "stored_bytes": job.stored_bytes,  # ours: what it takes up in storage; null: not measured yet
        "sandbox": job.sandbox,  # ours: what held user code; null: it has none, or has not started
        "error": job.error,
    }


def event_object(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "object": "fine_tuning.job.event",
        "created_at": int(event.created_at),
        "level": event.level,
        "type": event.type,
        "message": event.message,
        "data": event.data,
    }


def checkpoint_object(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "id": checkpoint.id,
        "object": "fine_tuning.job.checkpoint",
        "created_at": int(checkpoint.created_at),
        "fine_tuned_model_checkpoint": checkpoint.name,
        "fine_tuning_job_id": checkpoint.job_id,
        "metrics": checkpoint_metrics(checkpoint.metrics),
        "step_number": checkpoint.step,
    }


def checkpoint_metrics(known: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's names all, null where the step has no such figure: it was not validated, or its method has none.

    OpenAI validates on a batch in between and on the whole file at an epoch's end; here it is always the whole file.
    """
    full = {f"full_{name}": known.get(name) for name in VALIDATED}
    return dict.fromkeys(("step", *TRAINED, *VALIDATED)) | full | known


def proof_object(job: Job, rows: Sequence[Proof]) -> dict[str, Any]:
    """status: the worst of all checks. A job that trained its own reward model has one of each for that as well."""
    models = [(row, proofs.checks_of(row)) for row in rows]
    return {
        "object": "fine_tuning.job.proof",
        "fine_tuning_job_id": job.id,
        "status": proof_checks.verdict([each for _, checks in models for each in checks]),
        "models": [
            {
                "model": row.model,
                "kind": row.kind,
                "created_at": int(row.created_at),
                "status": proof_checks.verdict(checks),
                "checks": checks,
            }
            for row, checks in models
        ],
    }


def evaluation_object(job: Job) -> dict[str, Any]:
    """Raises NotFound, which says whether to wait for one."""
    if job.evaluation is None:
        why = (
            "was created without a validation_file, on which base and tuned model would be compared"
            if job.validation_file is None
            else f"is {job.status} and has no evaluation"
            if job.status.is_terminal
            else f"is {job.status}: the evaluation follows at the end of training"
        )
        raise NotFound(f"The job {job.id!r} {why}.", code="evaluation_not_found")
    return {"object": "fine_tuning.job.evaluation", "fine_tuning_job_id": job.id, **job.evaluation}


def deleted_object(id: str, kind: Literal["file", "model"]) -> dict[str, Any]:
    return {"id": id, "object": kind, "deleted": True}


def whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
