"""What the votes of a comparison come to. Computed outside of the event loop."""

from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.comparisons import agreement, export
from fettle.comparisons.pairs import Ballot
from models import Comparison, ComparisonVote

SECONDS = 60.0
MEMORY = 2 << 30  # bytes: scipy maps much and uses little


async def material(session: AsyncSession, comparison: Comparison) -> dict[str, Any]:
    """What `compute` reads."""
    items, votes = await export.gather(session, comparison)
    return {
        "models": list(dict.fromkeys(comparison.models)),
        "writers": {each["id"]: each["model"] for item in items for each in item.responses or []},
        "named": [item.id for item in items if any(each["names_model"] for each in item.responses or [])],
        "ballots": [ballot(vote) for vote in votes],
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
            "alpha": agreement.alpha(ballots),
            "strengths": strengths.of_models(blind, given["writers"], given["models"]),
            "annotators": agreement.of_annotators(ballots),
        }
    )
