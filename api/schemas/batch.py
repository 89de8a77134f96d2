from typing import Any, Literal

from api.schemas.upload import ExpiresAfter
from fettle.schemas.labels import Labels
from fettle.schemas.strict import Strict
from models import Batch

MOMENTS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


class BatchCreate(Strict):
    """The body of POST /v1/batches."""

    input_file_id: str
    endpoint: Literal["/v1/chat/completions", "/v1/completions", "/v1/responses"]
    completion_window: Literal["24h"]
    metadata: Labels | None = None
    output_expires_after: ExpiresAfter | None = None


def batch_object(batch: Batch) -> dict[str, Any]:
    models = list(batch.servables or {})
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": models[0] if len(models) == 1 else None,
        "errors": None if batch.errors is None else {"object": "list", "data": batch.errors},
        "input_file_id": batch.input_file,
        "completion_window": batch.completion_window,
        "status": str(batch.status),
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": int(batch.created_at),
        "expires_at": int(batch.expires_at),
        **{f"{name}_at": batch.moments.get(f"{name}_at") for name in MOMENTS},
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "usage": {
            "input_tokens": batch.input_tokens,
            "input_tokens_details": {"cached_tokens": batch.cached_tokens},
            "output_tokens": batch.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": batch.input_tokens + batch.output_tokens,
        },
        "metadata": batch.labels,
        "waiting": batch.wait_reason,  # ours: why it does not go on
    }
