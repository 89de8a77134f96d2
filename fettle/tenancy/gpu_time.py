"""Time that projects and jobs have held slots, from their runs. A CPU slot counts as one GPU."""

from sqlalchemy import ColumnElement, case, func

from fettle.db import database_now
from models import Run

HOUR = 3600


def seconds(since: ColumnElement[float] | None = None) -> ColumnElement[float]:
    """Of a run, or of its part after `since`; until now if it still holds its slot."""
    began = Run.started_at if since is None else case((Run.started_at < since, since), else_=Run.started_at)
    return func.coalesce(Run.ended_at, database_now()) - began


def gpu_seconds(since: ColumnElement[float] | None = None) -> ColumnElement[float]:
    return seconds(since) * case((Run.gpus > 1, Run.gpus), else_=1)


def after(since: ColumnElement[float]) -> ColumnElement[bool]:
    return Run.ended_at.is_(None) | (Run.ended_at > since)
