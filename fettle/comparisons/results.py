"""What the votes of a comparison come to. Computed outside of the event loop, from the newest votes."""

from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.comparisons import agreement
from fettle.comparisons.pairs import Ballot
from models import Comparison, ComparisonItem, ComparisonVote

VOTES_AT_MOST = 20_000  # the newest
SECONDS = 60.0
MEMORY = 2 << 30  # bytes: scipy maps much and uses little


async def material(session: AsyncSession, comparison: Comparison) -> dict[str, Any]:
    """What `compute` reads."""
    items = await session.scalars(
        select(ComparisonItem).where(ComparisonItem.comparison_id == comparison.id, ComparisonItem.ready)
    )
    responses = {item.id: item.responses or [] for item in items}
    newest = (
        select(ComparisonVote)
        .where(ComparisonVote.comparison_id == comparison.id, ComparisonVote.choice.is_not(None))
        .order_by(ComparisonVote.voted_at.desc(), ComparisonVote.id)
        .limit(VOTES_AT_MOST)
    )
    return {
        "models": list(dict.fromkeys(comparison.models)),
        "writers": {each["id"]: each["model"] for item in responses.values() for each in item},
        "named": [item for item, each in responses.items() if any(one["names_model"] for one in each)],
        "ballots": [ballot(vote) for vote in await session.scalars(newest)],
    }


def ballot(vote: ComparisonVote) -> Ballot:
    return {
        "item": vote.item_id,
        "annotator": vote.annotator_id,
        "choice": vote.choice or "",
        "levels": vote.order["levels"] if vote.order else None,
        "shown": vote.shown,
        "seconds": vote.seconds,
    }


def compute(argument: Any, content: bytes) -> bytes:
    """Work for `fettle.isolation`: `material` as JSON in, results as JSON out."""
    from fettle.comparisons import strengths  # only here, and only in a fork: scipy takes a second to import

    given = orjson.loads(content)
    ballots: list[Ballot] = given["ballots"]
    named = set(given["named"])
    blind = [ballot for ballot in ballots if ballot["item"] not in named]
    return orjson.dumps(
        {
            "votes": len(ballots),
            "not_blind": len(ballots) - len(blind),  # a response named its model: not counted for the models
            "truncated": len(ballots) == VOTES_AT_MOST,
            "alpha": agreement.alpha(ballots),
            "strengths": strengths.of_models(blind, given["writers"], given["models"]),
            "annotators": agreement.of_annotators(ballots),
        }
    )
