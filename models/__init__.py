"""Database rows: columns, relations, legal states. No queries and no I/O."""

from models.api_key import ApiKey
from models.audit_log import AuditLog
from models.base import Base
from models.batch import GOING, Batch, BatchAnswer, BatchStatus
from models.checkpoint import Checkpoint
from models.checkpoint_permission import CheckpointPermission
from models.comparison import Comparison, ComparisonStatus
from models.comparison_annotator import ComparisonAnnotator
from models.comparison_export import ComparisonExport
from models.comparison_item import ComparisonItem
from models.comparison_vote import ComparisonVote
from models.console_session import ConsoleSession
from models.deletion import Deletion
from models.engine import InferenceEngine
from models.evaluation import UNFINISHED, Eval, EvalItem, EvalRun, EvalRunStatus
from models.event import Event
from models.file import File, FileStatus
from models.grading import Grading
from models.idempotency import IdempotencyKey
from models.job import DISK_FULL, ENDED, RESUMABLE, STORAGE_REFUSED, WORKER_LOST, Job, JobStatus
from models.project import Project
from models.proof import Proof
from models.reward_source import RewardSource
from models.reward_version import RewardVersion
from models.rollout_chunk import RolloutChunk
from models.run import Run
from models.stored_completion import StoredCompletion
from models.stored_response import StoredResponse
from models.tuned_model import TunedModel
from models.upload import ChunkedUpload, UploadPart, UploadStatus
from models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint, WebhookEvent
from models.worker import Worker

__all__ = [
    "DISK_FULL",
    "ENDED",
    "GOING",
    "RESUMABLE",
    "STORAGE_REFUSED",
    "UNFINISHED",
    "WORKER_LOST",
    "ApiKey",
    "AuditLog",
    "Base",
    "Batch",
    "BatchAnswer",
    "BatchStatus",
    "Checkpoint",
    "CheckpointPermission",
    "ChunkedUpload",
    "Comparison",
    "ComparisonAnnotator",
    "ComparisonExport",
    "ComparisonItem",
    "ComparisonStatus",
    "ComparisonVote",
    "ConsoleSession",
    "Deletion",
    "DeliveryStatus",
    "Eval",
    "EvalItem",
    "EvalRun",
    "EvalRunStatus",
    "Event",
    "File",
    "FileStatus",
    "Grading",
    "IdempotencyKey",
    "InferenceEngine",
    "Job",
    "JobStatus",
    "Project",
    "Proof",
    "RewardSource",
    "RewardVersion",
    "RolloutChunk",
    "Run",
    "StoredCompletion",
    "StoredResponse",
    "TunedModel",
    "UploadPart",
    "UploadStatus",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "Worker",
]
