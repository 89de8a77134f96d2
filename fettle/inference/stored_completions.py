"""Chat completions that a project keeps: asked for with `store`, found again by metadata, and made into a dataset."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Select, select
from sqlalchemy import delete as deleted
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.db import Database, json_text
from fettle.errors import InvalidRequest, NotFound
from fettle.pagination import page
from models import Project, StoredCompletion

DAY = 24 * 3600
KEPT_AT_MOST = 10_000  # of a project, after each sweep
PAGE = 100  # rows of a dataset that are read at a time


async def refuse_unless_wanted(session: AsyncSession, project_id: str) -> None:
    """Raises InvalidRequest for a project that does not store completions."""
    if not (await session.get_one(Project, project_id)).stores_completions:
        raise InvalidRequest(
            "This project does not store chat completions. Remove 'store', or ask the operator to turn storing on: "
            f"POST /v1/projects/{project_id} with 'stores_completions': true.",
            param="store",
        )


def add(
    session: AsyncSession, project_id: str, model: str, asked: dict[str, Any], body: dict[str, Any], labels: Any
) -> None:
    """body: the chat.completion that the client got."""
    size = len(orjson.dumps(asked)) + len(orjson.dumps(body))
    session.add(
        StoredCompletion(
            id=body["id"], project_id=project_id, model=model, labels=labels, bytes=size, asked=asked, body=body
        )
    )


async def get(session: AsyncSession, project_id: str, completion_id: str, *, lock: bool = False) -> StoredCompletion:
    """Raises NotFound: for another tenant's completion as for none."""
    found = await session.get(StoredCompletion, completion_id, with_for_update=lock)
    if found is None or found.project_id != project_id:
        raise NotFound(
            f"No stored completion has the id {completion_id!r}. It may be deleted or expired, or its request had no "
            "'store': true.",
            param="completion_id",
        )
    return found


def chosen(project_id: str, model: str | None, *labels: Mapping[str, str]) -> Select[Any]:
    statement = select(StoredCompletion).where(StoredCompletion.project_id == project_id)
    if model is not None:
        statement = statement.where(StoredCompletion.model == model)
    for key, value in (pair for each in labels for pair in each.items()):
        statement = statement.where(json_text(StoredCompletion.labels, key) == value)
    return statement


async def listed(
    session: AsyncSession,
    project_id: str,
    *,
    model: str | None,
    labels: Mapping[str, str],
    after: str | None,
    limit: int,
    newest_first: bool,
) -> tuple[list[StoredCompletion], bool]:
    statement, order = chosen(project_id, model, labels), (StoredCompletion.created_at, StoredCompletion.id)
    identity = StoredCompletion.id
    return await page(session, statement, order, identity, after=after, limit=limit, newest_first=newest_first)


async def matching(
    session: AsyncSession,
    project_id: str,
    *,
    model: str | None,
    labels: Sequence[Mapping[str, str]],
    created_after: int | None,
    created_before: int | None,
    limit: int,
) -> list[str]:
    """Ids, newest first. labels: each of them has to match."""
    statement = chosen(project_id, model, *labels).with_only_columns(StoredCompletion.id)
    if created_after is not None:
        statement = statement.where(StoredCompletion.created_at > created_after)
    if created_before is not None:
        statement = statement.where(StoredCompletion.created_at < created_before)
    newest = statement.order_by(StoredCompletion.created_at.desc(), StoredCompletion.id.desc())
    return list(await session.scalars(newest.limit(limit)))


async def some(session: AsyncSession, project_id: str, ids: Sequence[str]) -> dict[str, StoredCompletion]:
    """By id; without those that are gone."""
    statement = select(StoredCompletion).where(StoredCompletion.project_id == project_id, StoredCompletion.id.in_(ids))
    return {row.id: row for row in await session.scalars(statement)}


async def rows(db: Database, project_id: str, model: str | None, labels: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Lines of a dataset, oldest first: the messages that were sent, and the answer."""
    after, more = None, True
    while more:
        async with db.snapshot() as session:
            found, more = await listed(
                session, project_id, model=model, labels=labels, after=after, limit=PAGE, newest_first=False
            )
        for row in found:
            after = row.id
            said = row.body["choices"][0]["message"]
            answer = {name: said[name] for name in ("role", "content", "tool_calls") if said.get(name)}
            line = {**row.asked, "messages": [*row.asked["messages"], answer]}
            yield orjson.dumps(line) + b"\n"


async def delete(session: AsyncSession, project_id: str, completion_id: str) -> None:
    """Raises NotFound."""
    await session.delete(await get(session, project_id, completion_id))


async def sweep(session: AsyncSession, days: float) -> None:
    """Deletes what is older, and what a project has beyond the newest 10,000."""
    await session.execute(deleted(StoredCompletion).where(StoredCompletion.created_at < time.time() - days * DAY))
    for project_id in list(await session.scalars(select(Project.id).where(Project.stores_completions))):
        newest = select(StoredCompletion.created_at).where(StoredCompletion.project_id == project_id)
        nth = newest.order_by(StoredCompletion.created_at.desc()).offset(KEPT_AT_MOST).limit(1)
        if (last := await session.scalar(nth)) is not None:
            old = (StoredCompletion.project_id == project_id, StoredCompletion.created_at <= last)
            await session.execute(deleted(StoredCompletion).where(*old))
