"""Annotators: people with an invitation, whose token votes in one comparison, and API keys that vote."""

import time
from collections.abc import Sequence
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.comparisons import store
from fettle.db import lock
from fettle.errors import InvalidRequest, NotFound, Unauthenticated
from fettle.tenancy import api_keys
from models import ApiKey, Comparison, ComparisonAnnotator, ComparisonExport, ComparisonVote

PREFIX = "fv_"  # of an invitation's token
SCOPE = "comparisons.vote"
AT_MOST = 1000  # annotators of a comparison


def looks_like_token(presented: str) -> bool:
    return presented.startswith(PREFIX)


async def invite(
    session: AsyncSession, comparison: Comparison, name: str, pepper: bytes, expires_at: float
) -> tuple[ComparisonAnnotator, str]:
    """The annotator and the token, shown this once. Call it with the comparison locked. Raises InvalidRequest."""
    if len(await everyone(session, comparison)) >= AT_MOST:
        raise InvalidRequest(f"The comparison has {AT_MOST:,} annotators already, which is the limit.", param="name")
    token = PREFIX + api_keys.generate().removeprefix(api_keys.PREFIX)
    row = ComparisonAnnotator(
        id=ids.new("annot_"),
        comparison_id=comparison.id,
        project_id=comparison.project_id,
        name=name,
        digest=api_keys.digest(token, pepper),
        expires_at=expires_at,
    )
    session.add(row)
    await session.flush()
    return row, token


async def authenticate(session: AsyncSession, token: str, pepper: bytes) -> ComparisonAnnotator | None:
    """The annotator, or None. Raises Unauthenticated for an invitation that has expired or was revoked."""
    if not api_keys.well_formed(api_keys.PREFIX + token.removeprefix(PREFIX)):
        return None
    row = await session.scalar(
        select(ComparisonAnnotator).where(ComparisonAnnotator.digest == api_keys.digest(token, pepper))
    )
    if row is not None and state(row) != "live":
        what = "has expired" if state(row) == "expired" else "was revoked"
        raise Unauthenticated(
            f"This invitation {what}. Ask for a new one from whoever sent it.", code=f"invitation_{state(row)}"
        )
    return row


def kind(row: ComparisonAnnotator) -> Literal["invited", "key", "imported"]:
    """How the votes come: by an invitation, by an API key, or from a file."""
    if row.digest is not None:
        return "invited"
    return "key" if row.key_id is not None else "imported"


def state(row: ComparisonAnnotator) -> Literal["live", "expired", "revoked"]:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= time.time() else "live"


async def of_key(session: AsyncSession, comparison: Comparison, key: ApiKey) -> ComparisonAnnotator:
    """The annotator that votes by this API key, made at its first visit. Call it with the comparison locked."""
    statement = select(ComparisonAnnotator).where(
        ComparisonAnnotator.comparison_id == comparison.id, ComparisonAnnotator.key_id == key.id
    )
    row = await session.scalar(statement)
    if row is None:
        row = ComparisonAnnotator(
            id=ids.new("annot_"),
            comparison_id=comparison.id,
            project_id=comparison.project_id,
            name=key.owner or key.name,
            key_id=key.id,
        )
        session.add(row)
        await session.flush()
    return row


async def everyone(session: AsyncSession, comparison: Comparison) -> Sequence[ComparisonAnnotator]:
    statement = (
        select(ComparisonAnnotator)
        .where(ComparisonAnnotator.comparison_id == comparison.id)
        .order_by(ComparisonAnnotator.created_at, ComparisonAnnotator.id)
    )
    return (await session.scalars(statement)).all()


async def get(session: AsyncSession, project_id: str, comparison_id: str, annotator_id: str) -> ComparisonAnnotator:
    """Raises NotFound."""
    comparison = await store.get(session, project_id, comparison_id)
    row = await session.scalar(
        select(ComparisonAnnotator).where(
            ComparisonAnnotator.id == annotator_id, ComparisonAnnotator.comparison_id == comparison.id
        )
    )
    if row is None:
        raise NotFound(f"No annotator of this comparison has the id {annotator_id!r}.", param="annotator_id")
    return row


async def revoke(session: AsyncSession, project_id: str, comparison_id: str, annotator_id: str) -> ComparisonAnnotator:
    """The token is useless at once; the votes stay."""
    row = await get(session, project_id, comparison_id, annotator_id)
    row.revoked_at = row.revoked_at or time.time()
    return row


async def delete_votes(
    session: AsyncSession, project_id: str, comparison_id: str, annotator_id: str
) -> tuple[int, list[str]]:
    """How many votes were deleted, and the files that were made of some of them: those stay until they are deleted."""
    row = await get(session, project_id, comparison_id, annotator_id)
    await lock(session, row.comparison_id)
    made = await session.scalars(select(ComparisonExport).where(ComparisonExport.comparison_id == row.comparison_id))
    files = [export.file_id for export in made if row.id in export.provenance["annotators"]]
    voted = select(ComparisonVote.id).where(ComparisonVote.annotator_id == row.id, ComparisonVote.choice.is_not(None))
    count = len((await session.scalars(voted)).all())
    await session.execute(delete(ComparisonVote).where(ComparisonVote.annotator_id == row.id))
    return count, files
