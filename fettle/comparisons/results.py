"""What the votes of a comparison come to. Computed outside of the event loop."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from itertools import combinations
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.comparisons import agreement, checks, export
from fettle.comparisons.pairs import Ballot
from fettle.comparisons.votes import Levels
from fettle.datasets.files import MIN_TRAINING_ROWS
from models import Comparison, ComparisonVote

SECONDS = 60.0
MEMORY = 1 << 30  # bytes beyond what the libraries take
LIBRARIES = ("scipy.stats", "choix", "nltk.metrics.agreement")


async def material(session: AsyncSession, comparison: Comparison) -> dict[str, Any]:
    """What `compute` reads."""
    items, votes = await export.gather(session, comparison)
    return {
        "models": list(dict.fromkeys(comparison.models)),
        "writers": {each["id"]: each["model"] for item in items for each in item.responses or [] if each["model"]},
        "named": [item.id for item in items if not export.blind(item)],
        "cut_off": [response for item in items for response in export.cut_off(item)],
        "gold": {item.id: item.gold["levels"] for item in items if item.gold},
        "ballots": [ballot(vote) for vote in votes if not vote.repeat],
        "repeats": [ballot(vote) for vote in votes if vote.repeat],
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
    from fettle.comparisons import strengths  # the API has no numpy

    given = orjson.loads(content)
    gold: dict[str, Levels] = given["gold"]
    everything: list[Ballot] = given["ballots"]
    ballots = [ballot for ballot in everything if ballot["item"] not in gold]
    named = set(given["named"])
    blind = [ballot for ballot in ballots if ballot["item"] not in named]
    return orjson.dumps(
        {
            "votes": len(ballots),
            "not_blind": len(ballots) - len(blind),  # a response named its model: not counted for the models
            "alpha": agreement.alpha(ballots),
            "strengths": strengths.of_models(blind, given["writers"], given["models"]),
            "annotators": [
                {**each, **checks_of(each["annotator_id"], everything, given["repeats"], gold)}
                for each in agreement.of_annotators(ballots, {ballot["annotator"] for ballot in everything})
            ],
            "rows": {kind: count_rows(blind, kind, set(given["cut_off"])) for kind in export.ROWS},
            "rows_needed": MIN_TRAINING_ROWS,
        }
    )


def checks_of(
    annotator: str, ballots: Sequence[Ballot], repeats: Sequence[Ballot], gold: Mapping[str, Levels]
) -> dict[str, Any]:
    """Against the right order of gold items, and against themselves on repeated items: shares of pairs."""
    own = {ballot["item"]: ballot for ballot in ballots if ballot["annotator"] == annotator}
    checked = [ballot for item, ballot in own.items() if item in gold and ballot["choice"] != "skip"]
    again = [
        (own[ballot["item"]], ballot)
        for ballot in repeats
        if ballot["annotator"] == annotator and ballot["item"] in own and ballot["choice"] != "skip"
    ]
    return {
        "gold": share(len(checked), [checks.matches(gold[each["item"]], each["levels"]) for each in checked]),
        "repeated": share(len(again), [checks.consistency(one["levels"], two["levels"]) for one, two in again]),
    }


def share(items: int, pairs: Sequence[tuple[int, int]]) -> dict[str, Any]:
    same, all_ = (sum(each[index] for each in pairs) for index in (0, 1))
    return {"items": items, "agreement": same / all_ if all_ else None}


def count_rows(ballots: Sequence[Ballot], kind: str, cut_off: Container[str]) -> int:
    """That an export of the majority would have."""
    of_item: dict[str, list[Levels]] = defaultdict(list)
    for ballot in ballots:
        if ballot["levels"] and len(ballot["levels"]) > 1:
            of_item[ballot["item"]].append(ballot["levels"])
    orders = [order for order in map(export.majority, of_item.values()) if len(order) > 1]
    if kind == "rankings":
        whole = [export.without(order, export.cut_above(order, cut_off)) for order in orders]
        return sum(len(order) > 1 for order in whole)
    return sum(
        sum(each not in cut_off for each in one) * len(other)
        for order in orders
        for one, other in combinations(order, 2)
    )
