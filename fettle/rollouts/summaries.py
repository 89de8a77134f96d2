"""What is known of a step's rollouts without reading them: for lists, filters, and the watch over rewards."""

import operator
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.rewards.diagnostics import SMALLEST_SPREAD
from fettle.rewards.forms import of_form
from models import RolloutChunk

FEW = 4  # prompts: fewer may well have one right answer

Row = dict[str, Any]


def of_step(rows: Sequence[Row], graders: Sequence[Row]) -> dict[str, Any]:
    """rows: of one step, as `fettle.rollouts.rows.row` makes them. graders: those that judged it.

    reward, form, answer: {mean, std} of the weighted sums, of all graders, of those of form and of the others; None
    when no grader gave a value. commonest: the share of the most frequent text, None for a handful of prompts.
    """
    known = [each["reward"] for each in rows if each["reward"] is not None]
    forms = of_form(graders)
    texts = Counter(each["completion"].strip() for each in rows)
    return {
        "reward": spread(known),
        "reward_min": min(known, default=None),
        "reward_max": max(known, default=None),
        "reward_version": rows[0]["reward_version"],
        "tokens": sum(each["tokens"] for each in rows),
        "length_mean": statistics.fmean(each["tokens"] for each in rows),
        "dead_groups": dead_groups(rows),
        "errors": len(rows) - len(known),
        "cut_off": sum(each["stop_reason"] == "length" for each in rows) / len(rows),
        "distinct": len(texts) / len(rows),
        "commonest": texts.most_common(1)[0][1] / len(rows) if len({each["group"] for each in rows}) >= FEW else None,
        "form": part_of(rows, [each for each in graders if each["name"] in forms]),
        "answer": part_of(rows, [each for each in graders if each["name"] not in forms]),
    }


def dead_groups(rows: Sequence[Row]) -> float | None:
    """The share of groups whose rewards are all equal, of those with two rewards or more; None where there is none."""
    groups: dict[int, list[float]] = {}
    for each in rows:
        if each["reward"] is not None:
            groups.setdefault(each["group"], []).append(each["reward"])
    spreads = [max(rewards) - min(rewards) for rewards in groups.values() if len(rewards) > 1]
    return sum(spread < SMALLEST_SPREAD for spread in spreads) / len(spreads) if spreads else None


def part_of(rows: Sequence[Row], graders: Sequence[Row]) -> dict[str, float] | None:
    """Of what these graders give together."""
    weighted = [[each["scores"][one["name"]] for one in graders] for each in rows if each["reward"] is not None]
    weights = [one["weight"] for one in graders]
    return spread([sum(map(operator.mul, values, weights)) for values in weighted]) if graders else None


def spread(values: Sequence[float]) -> dict[str, float] | None:
    return {"mean": statistics.fmean(values), "std": statistics.pstdev(values)} if values else None


async def earlier(session: AsyncSession, job_id: str, before: int) -> list[dict[str, Any]]:
    """Of the steps before this one, by step."""
    statement = select(RolloutChunk.summary).where(RolloutChunk.job_id == job_id, RolloutChunk.step < before)
    return list(await session.scalars(statement.order_by(RolloutChunk.step)))
