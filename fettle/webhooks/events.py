"""Events that webhooks send. Each is written in the transaction that changes the state: none is lost or invented."""

import time
from typing import Literal, get_args

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from models import WebhookEvent

Type = Literal[
    "fine_tuning.job.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.cancelled",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "eval.run.succeeded",
    "eval.run.failed",
    "eval.run.canceled",
]
TYPES: tuple[Type, ...] = get_args(Type)


def body(event_id: str, kind: str, thing_id: str, created_at: float) -> str:
    event = {"id": event_id, "object": "event", "created_at": int(created_at), "type": kind, "data": {"id": thing_id}}
    return orjson.dumps(event).decode()


def add(session: AsyncSession, project_id: str, kind: str, thing_id: str) -> None:
    """kind: one of TYPES. Deliveries are written later, by a worker."""
    event_id, now = ids.new("evt_"), time.time()
    content = body(event_id, kind, thing_id, now)
    session.add(WebhookEvent(id=event_id, project_id=project_id, type=kind, body=content, created_at=now))
