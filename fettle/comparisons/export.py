"""Votes as rows that jobs train on: rankings for reward models and RLHF, pairs for DPO.

Rule `majority`: the votes on an item become one order. A response's score is how often it was voted better than another
response of the item, less how often worse (Borda's count); equal scores tie. Rule `every_vote`: each vote is a row of
its own, so that conflicts stay in the data. Under both a response that was cut off is never the better one, as whoever
learned from it would learn to end where it was cut; a tie gives no pair, and votes that order nothing (both bad,
skip, a tie of all) give no row.
"""

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.comparisons.pairs import signs
from fettle.comparisons.sources import GOLD
from fettle.comparisons.votes import Levels
from fettle.db import database_now, lock
from fettle.errors import Conflict, InvalidRequest
from models import Comparison, ComparisonExport, ComparisonItem, ComparisonVote, File

ROWS = ("rankings", "pairs")
BY_MODE = {"rank": "rankings", "pick": "pairs"}
BY_METHOD = {"reward_model": "rankings", "rlhf": "rankings", "dpo": "pairs"}

IDS_AT_ONCE = 1000  # in one statement
ITEMS_READ_AT_ONCE, VOTES_READ_AT_ONCE = 20, 200  # rows between which the event loop serves others
BYTES_AT_MOST = 64 << 20  # of an export

Row = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """Rows, and the votes that they were made of: id → when it was made."""

    kind: str
    rule: str
    jsonl: bytes
    written: int
    votes: dict[str, float]
    annotators: list[str]
    left_out: int
    not_blind: int  # votes on items of which a response names its model: they are void
    cut_off: int  # responses that were better than another and ended at the limit of tokens: not exported as better

    def provenance(self) -> dict[str, Any]:
        return {
            "rows": self.kind,
            "rule": self.rule,
            "written": self.written,
            "votes": list(self.votes),
            "annotators": self.annotators,
            "left_out": self.left_out,
            "not_blind": self.not_blind,
            "cut_off": self.cut_off,
        }


async def gather(
    session: AsyncSession, comparison: Comparison
) -> tuple[Sequence[ComparisonItem], Sequence[ComparisonVote]]:
    """All items that can be voted on, and all votes; those on gold and repeated items as well."""
    items = await session.stream_scalars(
        select(ComparisonItem)
        .where(ComparisonItem.comparison_id == comparison.id, ComparisonItem.ready)
        .order_by(ComparisonItem.number)
        .execution_options(yield_per=ITEMS_READ_AT_ONCE)
    )
    found = [item async for item in items]
    votes = await session.stream_scalars(
        select(ComparisonVote)
        .where(ComparisonVote.comparison_id == comparison.id, ComparisonVote.choice.is_not(None))
        .order_by(ComparisonVote.voted_at, ComparisonVote.id)
        .execution_options(yield_per=VOTES_READ_AT_ONCE)
    )
    return found, [vote async for vote in votes]


def export(items: Sequence[ComparisonItem], votes: Sequence[ComparisonVote], kind: str, rule: str) -> Exported:
    """Run it in a thread. Raises InvalidRequest where the votes give too many bytes of rows."""
    named = {item.id for item in items if not blind(item)}
    items = [item for item in items if item.source != GOLD and item.id not in named]
    countable = {item.id for item in items}
    not_blind = sum(vote.item_id in named and not vote.repeat for vote in votes)
    votes = [vote for vote in votes if vote.item_id in countable and not vote.repeat]
    of_item: dict[str, list[ComparisonVote]] = defaultdict(list)
    for vote in votes:
        if vote.order is not None and len(vote.order["levels"]) > 1:
            of_item[vote.item_id].append(vote)
    lines: list[bytes] = []
    size = cut = 0
    used: dict[str, ComparisonVote] = {}
    for item in items:
        cast = of_item.get(item.id, [])
        for group in [cast] if rule == "majority" else [[vote] for vote in cast]:
            order = majority([(vote.order or {})["levels"] for vote in group])
            better_cut = cut_above(order, cut_off(item))
            cut += len(better_cut)
            made = rows_of(item, order, group, kind, better_cut)
            for row in made:
                lines.append(orjson.dumps(row) + b"\n")
                if (size := size + len(lines[-1])) > BYTES_AT_MOST:
                    raise InvalidRequest(
                        f"The {kind} have more than {BYTES_AT_MOST >> 20} MiB, which is the limit of an export. Use "
                        "the rule 'majority' or the rows 'rankings', which are fewer.",
                        code="export_too_large",
                    )
            if made:
                used |= {vote.id: vote for vote in group}
    return Exported(
        kind,
        rule,
        b"".join(lines),
        len(lines),
        {vote.id: vote.voted_at or 0.0 for vote in used.values()},
        list(dict.fromkeys(vote.annotator_id for vote in used.values())),
        len(votes) - len(used),
        not_blind,
        cut,
    )


def blind(item: ComparisonItem) -> bool:
    """Whether no response tells an annotator which model wrote it."""
    return not any(response["names_model"] for response in item.responses or [])


def majority(orders: Sequence[Levels]) -> Levels:
    """Borda's count over the orders of one item; of a single one it is that order."""
    scores: dict[str, int] = defaultdict(int)
    for order in orders:
        for pair in signs(order):
            scores[pair.first] += pair.sign
            scores[pair.second] -= pair.sign
    levels: dict[int, list[str]] = defaultdict(list)
    for response, score in scores.items():
        levels[score].append(response)
    return [sorted(levels[score]) for score in sorted(levels, reverse=True)]


def cut_off(item: ComparisonItem) -> set[str]:
    """Ids of the responses that ended at the limit of tokens."""
    return {response["id"] for response in item.responses or [] if response.get("finish_reason") == "length"}


def cut_above(levels: Levels, cut: Container[str]) -> set[str]:
    """Those that were cut off and still voted better than another."""
    return {each for level in levels[:-1] for each in level if each in cut}


def without(levels: Levels, responses: Container[str]) -> Levels:
    kept = [[each for each in level if each not in responses] for level in levels]
    return [level for level in kept if level]


def rows_of(
    item: ComparisonItem, levels: Levels, votes: Sequence[ComparisonVote], kind: str, never_better: Container[str] = ()
) -> list[Row]:
    """None where there is no vote, or all tie.

    never_better: these give no pair as the chosen response, and have no place in a ranking.
    """
    if kind == "rankings":
        levels = without(levels, never_better)
    if len(levels) < 2:
        return []
    texts = {response["id"]: response["text"] for response in item.responses or []}
    source = {
        "comparison_id": item.comparison_id,
        "item_id": item.id,
        "votes": [vote.id for vote in votes],
        "annotators": [vote.annotator_id for vote in votes],
    }
    if kind == "rankings":
        ranked = [texts[level[0]] if len(level) == 1 else [texts[each] for each in level] for level in levels]
        return [{"prompt": item.prompt, "ranked": ranked, "source": source}]
    return [
        {"prompt": item.prompt, "chosen": texts[better], "rejected": texts[worse], "source": source}
        for rank, level in enumerate(levels)
        for lower in levels[rank + 1 :]
        for better in level
        if better not in never_better
        for worse in lower
    ]


def batched(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def check_any(exported: Exported) -> None:
    """Raises InvalidRequest."""
    if not exported.written:
        cut = f" {exported.cut_off} prefer a response that was cut off," if exported.cut_off else ""
        void = f" {exported.not_blind} void, as a response of the item names its model," if exported.not_blind else ""
        raise InvalidRequest(
            f"No vote gives a row:{void}{cut} {exported.left_out} that skip, call all responses bad or tie all of "
            "them. Collect more votes.",
            code="no_votes",
        )


def check_enough(exported: Exported, minimum: int) -> None:
    """Raises InvalidRequest."""
    if (count := exported.written) < minimum:
        thing, missing = exported.kind.removesuffix("s"), minimum - count
        raise InvalidRequest(
            f"{missing} more {thing}{' is' if missing == 1 else 's are'} needed: a job trains on at least {minimum}, "
            f"and the votes give {count}.",
            code="too_few_votes",
        )


async def keep(session: AsyncSession, comparison: Comparison, exported: Exported, file: File) -> None:
    """The file's row and its provenance; the votes can no longer change. Raises Conflict for one that just has."""
    await lock(session, comparison.id)
    statement = select(ComparisonVote.id, ComparisonVote.voted_at).where(ComparisonVote.comparison_id == comparison.id)
    known = {row.id: row.voted_at for row in await session.execute(statement)}
    if changed := [id for id, voted_at in exported.votes.items() if known.get(id) != voted_at]:
        raise Conflict(f"The vote {changed[0]!r} changed during the export. Export again.", code="vote_changed")
    for chunk in batched([*exported.votes], IDS_AT_ONCE):
        await session.execute(
            update(ComparisonVote)
            .where(ComparisonVote.id.in_(chunk), ComparisonVote.exported_at.is_(None))
            .values(exported_at=database_now())
        )
    session.add(file)
    session.add(
        ComparisonExport(
            file_id=file.id,
            comparison_id=comparison.id,
            project_id=comparison.project_id,
            provenance=exported.provenance(),
        )
    )
    await session.flush()
