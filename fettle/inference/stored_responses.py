"""Responses that are kept, so that a next request can go on from one: `previous_response_id`."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import delete as deleted
from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from fettle.db import json_text
from fettle.errors import InvalidRequest, NotFound
from models import Project, StoredResponse

DAY = 24 * 3600
LINKS_AT_MOST = 500  # answers of one conversation
KEPT_AT_MOST = 10_000  # of a project, after each sweep


def add(
    session: AsyncSession,
    project_id: str,
    *,
    previous_id: str | None,
    input: list[dict[str, Any]],
    body: dict[str, Any],
) -> None:
    """body: the answer as the client gets it."""
    size = len(orjson.dumps(input)) + len(orjson.dumps(body))
    session.add(
        StoredResponse(
            id=body["id"], project_id=project_id, previous_id=previous_id, bytes=size, input=input, body=body
        )
    )


async def get(session: AsyncSession, project_id: str, response_id: str) -> StoredResponse:
    """Raises NotFound: for another tenant's response as for none."""
    found = await session.get(StoredResponse, response_id)
    if found is None or found.project_id != project_id:
        raise unknown(response_id)
    return found


async def delete(session: AsyncSession, project_id: str, response_id: str) -> None:
    await session.delete(await get(session, project_id, response_id))


async def conversation(
    session: AsyncSession, project_id: str, response_id: str, bytes_at_most: int, param: str = "response_id"
) -> list[StoredResponse]:
    """The response and those that it continues, oldest first.

    Raises NotFound, also where an earlier one is gone; InvalidRequest for a conversation that is too long.
    """
    columns = (StoredResponse.id, StoredResponse.previous_id, StoredResponse.bytes)
    mine = StoredResponse.project_id == project_id
    newest = select(*columns, literal(0).label("depth")).where(StoredResponse.id == response_id, mine)
    links = newest.cte("links", recursive=True)
    earlier = aliased(StoredResponse)
    links = links.union_all(
        select(earlier.id, earlier.previous_id, earlier.bytes, links.c.depth + 1)
        .join(links, earlier.id == links.c.previous_id)
        .where(earlier.project_id == project_id, links.c.depth < LINKS_AT_MOST)
    )
    found = (await session.execute(select(links).order_by(links.c.depth))).all()
    if not found:
        raise unknown(response_id, param)
    if len(found) > LINKS_AT_MOST or sum(row.bytes for row in found) > bytes_at_most:
        raise InvalidRequest(
            f"The conversation that ends with {response_id!r} has more than {LINKS_AT_MOST} responses or "
            f"{bytes_at_most:,} bytes. Start a new one with the messages that matter in 'input'.",
            code="context_length_exceeded",
            param=param,
        )
    if (gone := found[-1].previous_id) is not None:
        raise NotFound(
            f"The response {response_id!r} continues {gone!r}, which was deleted or has expired. Send the earlier "
            "messages in 'input'.",
            code="previous_response_not_found",
            param=param,
        )
    rows = await session.scalars(select(StoredResponse).where(StoredResponse.id.in_([row.id for row in found]), mine))
    by_id = {row.id: row for row in rows}
    return [by_id[row.id] for row in reversed(found)]


async def matching(
    session: AsyncSession,
    project_id: str,
    *,
    labels: Sequence[Mapping[str, str]],
    model: str | None,
    created_after: int | None,
    created_before: int | None,
    instructions_search: str | None,
    temperature: float | None,
    top_p: float | None,
    limit: int,
) -> list[str]:
    """Ids, newest first. labels: each of them has to match. The seconds include both ends, as at OpenAI."""
    body, made = StoredResponse.body, StoredResponse.created_at
    statement = select(StoredResponse.id).where(StoredResponse.project_id == project_id)
    for key, value in (pair for each in labels for pair in each.items()):
        statement = statement.where(json_text(body["metadata"], key) == value)
    if model is not None:
        statement = statement.where(json_text(body, "model") == model)
    if instructions_search is not None:
        statement = statement.where(json_text(body, "instructions").contains(instructions_search, autoescape=True))
    for name, number in (("temperature", temperature), ("top_p", top_p)):
        if number is not None:
            statement = statement.where(body[name].as_float() == number)
    if created_after is not None:
        statement = statement.where(made >= created_after)
    if created_before is not None:
        statement = statement.where(made < created_before + 1)
    return list(await session.scalars(statement.order_by(made.desc(), StoredResponse.id.desc()).limit(limit)))


async def sweep(session: AsyncSession, days: float) -> None:
    """Deletes what is older, and what a project has beyond the newest 10,000."""
    await session.execute(deleted(StoredResponse).where(StoredResponse.created_at < time.time() - days * DAY))
    for project_id in list(await session.scalars(select(Project.id))):
        newest = select(StoredResponse.created_at).where(StoredResponse.project_id == project_id)
        nth = newest.order_by(StoredResponse.created_at.desc()).offset(KEPT_AT_MOST).limit(1)
        if (last := await session.scalar(nth)) is not None:
            old = (StoredResponse.project_id == project_id, StoredResponse.created_at <= last)
            await session.execute(deleted(StoredResponse).where(*old))


def unknown(response_id: str, param: str = "response_id") -> NotFound:
    return NotFound(
        f"No stored response has the id {response_id!r}. It may be deleted or expired, or its request had "
        "'store': false.",
        code="previous_response_not_found" if param == "previous_response_id" else None,
        param=param,
    )
