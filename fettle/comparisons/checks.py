"""Hidden checks of annotators: items whose right order is known, and items that they have voted on before.

An annotator gets one as every `check_every`-th item, and cannot tell it from the others. Checks measure annotators:
they give no row to an export and no win to a model.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from fettle import ids
from fettle.comparisons import store
from fettle.comparisons.pairs import signs
from fettle.comparisons.prompts import RESPONSES_AT_MOST
from fettle.comparisons.sources import GENERATED, GOLD
from fettle.db import database_now
from fettle.errors import InvalidRequest, NotFound
from models import Comparison, ComparisonAnnotator, ComparisonItem, ComparisonVote

GOLD_AT_MOST = 200  # items of a comparison

Levels = list[list[str]]


async def due(
    session: AsyncSession, comparison: Comparison, annotator: ComparisonAnnotator
) -> tuple[ComparisonItem, bool] | None:
    """The check that comes next, and whether it is a repeated item; None where an ordinary item comes next."""
    mine = select(func.count()).where(ComparisonVote.annotator_id == annotator.id, counts())
    turn, rest = divmod((await session.scalar(mine) or 0) + 1, comparison.check_every)
    if rest:
        return None
    kinds = (gold, repeated) if turn % 2 else (repeated, gold)
    for kind in kinds:
        if (item := await kind(session, comparison, annotator)) is not None:
            return item, kind is repeated
    return None


def counts() -> Any:
    """Whether a row of votes is a vote, or about to become one."""
    return or_(ComparisonVote.choice.is_not(None), ComparisonVote.lease_until >= database_now())


async def gold(session: AsyncSession, comparison: Comparison, annotator: ComparisonAnnotator) -> ComparisonItem | None:
    seen = exists().where(
        ComparisonVote.item_id == ComparisonItem.id, ComparisonVote.annotator_id == annotator.id, counts()
    )
    statement = select(ComparisonItem).where(
        ComparisonItem.comparison_id == comparison.id, ComparisonItem.source == GOLD, ~seen
    )
    return (await session.scalars(statement.order_by(ComparisonItem.number).limit(1))).first()


async def repeated(
    session: AsyncSession, comparison: Comparison, annotator: ComparisonAnnotator
) -> ComparisonItem | None:
    """The item whose vote is the oldest of those that were not repeated."""
    if not comparison.repeats:
        return None
    second = aliased(ComparisonVote)
    again = exists().where(
        second.item_id == ComparisonVote.item_id,
        second.annotator_id == annotator.id,
        second.repeat,
        or_(second.choice.is_not(None), second.lease_until >= database_now()),
    )
    statement = (
        select(ComparisonItem)
        .join(ComparisonVote, ComparisonVote.item_id == ComparisonItem.id)
        .where(ComparisonVote.annotator_id == annotator.id, ~ComparisonVote.repeat, ~again)
        .where(ComparisonVote.choice.is_not(None), ComparisonVote.choice != "skip")
        .where(ComparisonItem.source == GENERATED, ComparisonItem.ready)
        .order_by(ComparisonVote.voted_at, ComparisonVote.id)
        .limit(1)
    )
    return (await session.scalars(statement)).first()


async def add_gold(
    session: AsyncSession, comparison: Comparison, wanted: Sequence[tuple[list[dict[str, Any]], list[list[str]]]]
) -> list[ComparisonItem]:
    """wanted: prompts, each with its responses, best first.

    Call it with the comparison locked. Raises InvalidRequest.
    """
    present = select(func.count()).where(ComparisonItem.comparison_id == comparison.id, ComparisonItem.source == GOLD)
    if (await session.scalar(present) or 0) + len(wanted) > GOLD_AT_MOST:
        raise InvalidRequest(f"A comparison has at most {GOLD_AT_MOST} gold items. Send fewer.", param="items")
    first = await store.next_number(session, comparison)
    rows = []
    for number, (prompt, ranked) in enumerate(wanted, first):
        levels = [[(ids.new("cmpresp_"), text) for text in level] for level in ranked]
        order = checked(comparison, [[id for id, _ in level] for level in levels], number - first)
        rows.append(
            ComparisonItem(
                id=ids.new("cmpitem_"),
                comparison_id=comparison.id,
                project_id=comparison.project_id,
                number=number,
                prompt=prompt,
                responses=[
                    {"id": id, "model": None, "text": text, "finish_reason": "stop", "names_model": False}
                    for level in levels
                    for id, text in level
                ],
                ready=True,
                source=GOLD,
                gold={"levels": order},
            )
        )
    session.add_all(rows)
    await session.flush()
    return rows


def checked(comparison: Comparison, levels: Levels, index: int) -> Levels:
    """The order as a vote of this comparison says it. Raises InvalidRequest."""
    at = f"items[{index}].ranked"
    if (count := sum(map(len, levels))) > RESPONSES_AT_MOST:
        raise InvalidRequest(f"{at!r} has {count} responses; an item has at most {RESPONSES_AT_MOST}.", param=at)
    if len(levels) < 2:
        raise InvalidRequest(f"{at!r} ties all its responses. Put the better ones before the others.", param=at)
    if comparison.mode == "rank":
        return levels
    if len(levels[0]) > 1:
        raise InvalidRequest(
            f"{at!r} begins with a tie. In a comparison with the mode 'pick' one response is the best.", param=at
        )
    return [levels[0], [each for level in levels[1:] for each in level]]


async def delete_gold(session: AsyncSession, comparison: Comparison, item_id: str) -> int:
    """With its votes: how many they were. Call it with the comparison locked. Raises NotFound."""
    item = await session.scalar(
        select(ComparisonItem).where(
            ComparisonItem.id == item_id,
            ComparisonItem.comparison_id == comparison.id,
            ComparisonItem.source == GOLD,
        )
    )
    if item is None:
        raise NotFound(f"No gold item of this comparison has the id {item_id!r}.", param="item_id")
    voted = select(func.count()).where(ComparisonVote.item_id == item.id, ComparisonVote.choice.is_not(None))
    count = await session.scalar(voted) or 0
    await session.execute(delete(ComparisonVote).where(ComparisonVote.item_id == item.id))
    await session.delete(item)
    return count


def matches(right: Levels, voted: Levels | None) -> tuple[int, int]:
    """Of the pairs that `right` orders: how many the vote orders the same way, and how many there are."""
    signed = {(pair.first, pair.second): pair.sign for pair in signs(voted or [])}
    wanted = [pair for pair in signs(right) if pair.sign]
    return sum(signed.get((pair.first, pair.second)) == pair.sign for pair in wanted), len(wanted)


def consistency(first: Levels | None, second: Levels | None) -> tuple[int, int]:
    """Of the pairs of an item: on how many two votes of one annotator say the same, and how many there are.

    A vote that calls all responses bad orders none of them, as a tie of all does.
    """
    known = sorted({each for level in [*(first or []), *(second or [])] for each in level})
    one, other = ({(p.first, p.second): p.sign for p in signs(levels or [known])} for levels in (first, second))
    return sum(one[pair] == other[pair] for pair in one), len(one)
