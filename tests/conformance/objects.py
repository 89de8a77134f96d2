"""One of each object that Fettle answers with, beside the type that the SDK reads it as."""

from collections.abc import Iterator
from typing import Any

from openai.types import Batch as SdkBatch
from openai.types import Completion, FileDeleted, FileObject, Model, ModelDeleted
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.eval_create_response import EvalCreateResponse
from openai.types.evals.run_create_response import RunCreateResponse
from openai.types.evals.runs.output_item_list_response import OutputItemListResponse
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.alpha import GraderRunResponse, GraderValidateResponse
from openai.types.fine_tuning.alpha.grader_run_response import Metadata, MetadataErrors
from openai.types.fine_tuning.fine_tuning_job import Error, Hyperparameters
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from openai.types.fine_tuning.jobs.fine_tuning_job_checkpoint import Metrics
from openai.types.responses import Response
from openai.types.upload import Upload
from openai.types.uploads import UploadPart as SdkUploadPart
from openai.types.webhooks import WebhookEndpoint as SdkEndpoint
from openai.types.webhooks import WebhookEndpointWithSecret
from pydantic import BaseModel

from api.routes.models import model_object
from api.schemas.batch import batch_object
from api.schemas.evaluation import eval_object, item_object
from api.schemas.evaluation import run_object as eval_run_object
from api.schemas.file import file_object
from api.schemas.grader import run_object
from api.schemas.job import checkpoint_object, deleted_object, event_object, job_object
from api.schemas.upload import part_object, upload_object
from api.schemas.webhook import endpoint_object
from fettle.inference.requests.response import ResponseCreate
from fettle.inference.requests.response_answer import Answer
from models import (
    Batch,
    BatchStatus,
    Checkpoint,
    ChunkedUpload,
    Eval,
    EvalItem,
    EvalRun,
    EvalRunStatus,
    Event,
    File,
    FileStatus,
    Job,
    JobStatus,
    UploadPart,
    UploadStatus,
    WebhookEndpoint,
)

HYPERPARAMETERS = {"n_epochs": 1, "batch_size": 8, "learning_rate_multiplier": 1.0}
FILE = File(
    id="file-x", project_id="proj_x", purpose="fine-tune", filename="sums.jsonl", bytes=9, created_at=1.0,
    status=FileStatus.PROCESSED,
)  # fmt: skip
UPLOAD = ChunkedUpload(
    id="upload_x", project_id="proj_x", filename="sums.jsonl", purpose="fine-tune", bytes=9,
    mime_type="application/jsonl", created_at=1.0, expires_at=9e9, status=UploadStatus.PENDING,
)  # fmt: skip
PART = UploadPart(id="part_x", upload_id="upload_x", bytes=9, created_at=1.0)
BATCH = Batch(
    id="batch_x", project_id="proj_x", endpoint="/v1/responses", input_file="file-x", created_at=1.0,
    status=BatchStatus.VALIDATING, total=0, completed=0, failed=0, input_tokens=0, output_tokens=0, expires_at=9e9,
    moments={}, completion_window="24h",
)  # fmt: skip
EVAL = Eval(
    id="eval_x", project_id="proj_x", name="sums", created_at=1.0, testing_criteria=[],
    data_source_config={"asked": {"type": "custom", "item_schema": {}}},
)  # fmt: skip
EVAL_RUN = EvalRun(
    id="evalrun_x", project_id="proj_x", eval_id="eval_x", name="base", created_at=1.0, model="starter", total=1,
    passed=1, failed=0, errored=0, by_criterion={}, prompt_tokens=0, completion_tokens=0,
    status=EvalRunStatus.QUEUED, data_source={"asked": {}},
)  # fmt: skip
EVAL_ITEM = EvalItem(
    id="outputitem_x", run_id="evalrun_x", number=0, status="pass", item={}, sample={}, results=[], created_at=1.0
)
ENDPOINT = WebhookEndpoint(
    id="whep_x", project_id="proj_x", name="ci", url="https://hooks.example.com", event_types=["batch.failed"],
    secret="whsec_AAAA", created_at=1.0, updated_at=1.0,
)  # fmt: skip
JOB = Job(
    id="ftjob-x", project_id="proj_x", base_model="starter", training_file="file-x", created_at=1.0, seed=1,
    status=JobStatus.QUEUED, result_files=[], priority=1,
    method={"type": "supervised", "supervised": {"hyperparameters": HYPERPARAMETERS}},
)  # fmt: skip
FAILURE = {"code": "diverged", "message": "Training diverged", "param": "learning_rate"}
EVENT = Event(id="ftevent-x", created_at=1.0, level="info", type="message", message="Created")
CHECKPOINT = Checkpoint(id="ftckpt_x", created_at=1.0, name="ft:x", job_id="ftjob-x", step=1, metrics={})
ASKED = ResponseCreate.model_validate({"model": "starter", "input": "2 + 2 ="})

GRADED = run_object(
    {"name": "equal", "type": "string_check"},
    {
        "scores": [{"reward": 1.0, "scores": {"equal": 1.0}, "errors": {}, "printed": ""}],
        "seconds": 0.1,
        "sandbox": None,
    },
)

# The engine's answers; tests/conformance/test_real_engine.py holds them against a real one
COMPLETION = ("id", "object", "created", "model", "choices", "usage")

OBJECTS: dict[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    "file": (FileObject, (*file_object(FILE),)),
    "file, deleted": (FileDeleted, (*deleted_object("file-x", "file"),)),
    "upload": (Upload, (*upload_object(UPLOAD),)),
    "upload.part": (SdkUploadPart, (*part_object(PART),)),
    "batch": (SdkBatch, (*batch_object(BATCH),)),
    "eval": (EvalCreateResponse, (*eval_object(EVAL),)),
    "eval.run": (RunCreateResponse, (*eval_run_object(EVAL_RUN),)),
    "eval.run.output_item": (OutputItemListResponse, (*item_object(EVAL_ITEM, EVAL_RUN),)),
    "webhook_endpoint": (SdkEndpoint, (*endpoint_object(ENDPOINT),)),
    "webhook_endpoint, created": (WebhookEndpointWithSecret, (*endpoint_object(ENDPOINT, secret=True),)),
    "fine_tuning.job": (FineTuningJob, (*job_object(JOB),)),
    "fine_tuning.job, hyperparameters": (Hyperparameters, (*job_object(JOB)["hyperparameters"],)),
    "fine_tuning.job, error": (Error, (*FAILURE,)),
    "fine_tuning.job.event": (FineTuningJobEvent, (*event_object(EVENT),)),
    "fine_tuning.job.checkpoint": (FineTuningJobCheckpoint, (*checkpoint_object(CHECKPOINT),)),
    "fine_tuning.job.checkpoint, metrics": (Metrics, (*checkpoint_object(CHECKPOINT)["metrics"],)),
    "graders/run": (GraderRunResponse, (*GRADED,)),
    "graders/run, metadata": (Metadata, (*GRADED["metadata"],)),
    "graders/run, metadata.errors": (MetadataErrors, (*GRADED["metadata"]["errors"],)),
    "graders/validate": (GraderValidateResponse, ("grader",)),
    "model": (Model, (*model_object("starter", 1, "fettle"),)),
    "model, deleted": (ModelDeleted, (*deleted_object("ft:x", "model"),)),
    "chat.completion": (ChatCompletion, COMPLETION),
    "chat.completion.chunk": (ChatCompletionChunk, COMPLETION),
    "text_completion": (Completion, COMPLETION),
    "response": (Response, (*Answer(ASKED, "starter").body(),)),
}


def compared(name: str) -> Iterator[tuple[str, str]]:
    """(field, same · extended · absent). Absent are only fields that the SDK reads as null."""
    theirs, ours = OBJECTS[name]
    known = [field.alias or name for name, field in theirs.model_fields.items()]  # `model_…` has an alias
    for field in known:
        yield field, "same" if field in ours else "absent"
    for field in ours:
        if field not in known:
            yield field, "extended"


def required(theirs: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in theirs.model_fields.items() if field.is_required()}


def example(name: str) -> dict[str, Any]:
    """An object of those that this side makes."""
    return {
        "file": file_object(FILE),
        "fine_tuning.job": job_object(JOB),
        "response": Answer(ASKED, "starter").body(),
    }[name]
