"""How far comparisons are: what is generated, why it waits, and how many votes there are and are wanted."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, null, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.comparisons import items
from fettle.comparisons.sources import GENERATED, GOLD
from fettle.db import database_now
from fettle.jobs import workers
from fettle.settings import Settings
from models import Comparison, ComparisonAnnotator, ComparisonItem, ComparisonStatus, ComparisonVote

Progress = dict[str, Any]


async def of_all(session: AsyncSession, rows: Sequence[Comparison], settings: Settings) -> dict[str, Progress]:
    """By id, with few queries whatever the number of rows.

    items: with a prompt whose responses are generated; ready, failed: of these. gold, imported: other items. votes:
    on generated items; a vote on a repeated item counts once. votes_wanted: as many as these items should get.
    imported_votes: on imported items.
    """
    chosen = [row.id for row in rows]
    counted = {row.id: dict.fromkeys(("items", "ready", "failed", "gold", "imported"), 0) for row in rows}
    statement = (
        select(
            ComparisonItem.comparison_id,
            ComparisonItem.source,
            func.count(),
            func.count().filter(ComparisonItem.ready),
            func.count().filter(ComparisonItem.error.is_not(null()), ~ComparisonItem.ready),
        )
        .where(ComparisonItem.comparison_id.in_(chosen))
        .group_by(ComparisonItem.comparison_id, ComparisonItem.source)
    )
    for comparison_id, source, total, ready, failed in await session.execute(statement):
        found = counted[comparison_id]
        if source == GENERATED:
            found["items"], found["ready"], found["failed"] = total, ready, failed
        else:
            found[source] = total
    on_generated = ComparisonItem.source == GENERATED
    votes = {
        comparison_id: (generated, imported)
        for comparison_id, generated, imported in await session.execute(
            select(ComparisonVote.comparison_id, func.count().filter(on_generated), func.count().filter(~on_generated))
            .join(ComparisonItem, ComparisonItem.id == ComparisonVote.item_id)
            .where(ComparisonVote.comparison_id.in_(chosen), ComparisonVote.choice.is_not(None))
            .where(~ComparisonVote.repeat, ComparisonItem.source != GOLD)
            .group_by(ComparisonVote.comparison_id)
        )
    }
    people = await by_comparison(
        session,
        select(ComparisonAnnotator.comparison_id, func.count())
        .where(ComparisonAnnotator.comparison_id.in_(chosen))
        .group_by(ComparisonAnnotator.comparison_id),
    )
    waiting = await why_waiting(session, rows, settings)
    return {
        row.id: {
            **counted[row.id],
            "votes": votes.get(row.id, (0, 0))[0],
            "votes_wanted": (counted[row.id]["items"] - counted[row.id]["failed"])
            * (items.wanted_votes(row) or people.get(row.id, 0)),
            "imported_votes": votes.get(row.id, (0, 0))[1],
            "annotators": people.get(row.id, 0),
            "waiting": waiting.get(row.id),
        }
        for row in rows
    }


async def by_comparison(session: AsyncSession, statement: Any) -> dict[str, int]:
    return dict((await session.execute(statement)).all())


async def of(session: AsyncSession, comparison: Comparison, settings: Settings) -> Progress:
    return (await of_all(session, [comparison], settings))[comparison.id]


async def why_waiting(session: AsyncSession, rows: Sequence[Comparison], settings: Settings) -> dict[str, str]:
    """Of those whose responses are still to be generated, and of which nothing is generated right now."""
    generating = [row for row in rows if row.status == ComparisonStatus.GENERATING]
    if not generating:
        return {}
    now = await session.scalar(select(database_now())) or 0.0
    alive = (await session.scalars(workers.serving_hosts(settings.heartbeat_seconds).limit(1))).first()
    found = {}
    for row in generating:
        if row.lease_until is not None and row.lease_until >= now:
            if row.wait_reason:
                found[row.id] = row.wait_reason
        elif alive is None:
            found[row.id] = "No worker is running. Start one with `fettle worker`."
        else:
            found[row.id] = "Generation starts when a worker has finished the comparisons before this one."
    return found
