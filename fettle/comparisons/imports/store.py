"""Imported votes as rows: on items of the comparison that have the same prompt and responses, or on new ones."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle import ids
from fettle.comparisons import annotators, items, store
from fettle.comparisons.imports.reader import LISTED
from fettle.comparisons.sources import GOLD, IMPORTED
from fettle.db import database_now
from fettle.errors import InvalidRequest
from models import Comparison, ComparisonAnnotator, ComparisonItem, ComparisonVote

# written between two looks of the event loop at other requests
ITEMS_AT_ONCE, VOTES_AT_ONCE, PEOPLE_AT_ONCE = 20, 200, 50
BYTES_AT_MOST = 64 << 20  # of all imported items of a comparison

Line = dict[str, Any]
Place = tuple[str, list[Line]]  # an item's id and responses


@dataclass
class Imported:
    """What became of a file."""

    format: str
    votes: int = 0
    new_items: int = 0
    matched_items: int = 0
    annotators: dict[str, ComparisonAnnotator] = field(default_factory=dict)  # by name
    left_out_count: int = 0
    left_out: list[Line] = field(default_factory=list)

    def leave_out(self, line: int, message: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < LISTED:
            self.left_out.append({"line": line, "message": message})


async def keep(session: AsyncSession, comparison: Comparison, name: str, content: bytes) -> Imported:
    """content: what `reader.read` returned. name: of the annotator, and of those that the file names before their own.

    Call it with the comparison locked. Raises InvalidRequest.
    """
    lines = content.splitlines()
    header = orjson.loads(lines[0])
    done = Imported(header["format"], left_out_count=header["left_out_count"], left_out=header["left_out"])
    await admit(session, comparison, header["votes"], sum(map(len, lines[1:])))
    voted = await people(session, comparison, name, header["annotators"], done)
    now = await session.scalar(select(database_now()))
    number = await store.next_number(session, comparison)
    for part in parts(lines[1:], ITEMS_AT_ONCE):
        wanted = [orjson.loads(line) for line in part]
        known = await matching(session, comparison, [item["digest"] for item in wanted])
        new: list[Line] = []
        places: list[Place] = []
        for item in wanted:
            found = known.get(item["digest"])
            if found is None:
                row = described(comparison, item, number + len(new))
                new.append(row)
                found = row["id"], row["responses"]
            else:
                done.matched_items += 1
            places.append(found)
        number += len(new)
        done.new_items += len(new)
        if new:
            await session.execute(insert(ComparisonItem), new)
        votes = (
            vote
            for item, place in zip(wanted, places, strict=True)
            for vote in rows(comparison, item, place, name, now, voted, done)
        )
        while written := list(itertools.islice(votes, VOTES_AT_ONCE)):  # an item may have thousands
            await session.execute(insert(ComparisonVote), written)
            done.votes += len(written)
    return done


def parts(all_: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(all_), size):
        yield all_[start : start + size]


async def admit(session: AsyncSession, comparison: Comparison, votes: int, size: int) -> None:
    """Raises InvalidRequest."""
    present = select(func.count()).where(ComparisonVote.comparison_id == comparison.id)
    if (total := (await session.scalar(present) or 0) + votes) > items.VOTES_AT_MOST:
        raise InvalidRequest(
            f"The comparison would have {total:,} votes; the limit is {items.VOTES_AT_MOST:,}. Send fewer, or import "
            "them into another comparison.",
            param="file",
        )
    if comparison.imported_bytes + size > BYTES_AT_MOST:
        raise InvalidRequest(
            f"The comparison would have more than {BYTES_AT_MOST >> 20} MiB of imported items, which is the limit. "
            "Import them into another comparison.",
            param="file",
        )
    comparison.imported_bytes += size


def full_name(name: str, own: str) -> str:
    return f"{name} / {own}" if own else name


async def people(
    session: AsyncSession, comparison: Comparison, name: str, own: Sequence[str], done: Imported
) -> set[tuple[str, str]]:
    """Annotators of these names, made where there are none; which of them has voted on which item already."""
    everyone = await annotators.everyone(session, comparison)
    known = {row.name: row for row in everyone if annotators.kind(row) == "imported"}
    wanted = [full_name(name, each) for each in own]
    missing = [each for each in wanted if each not in known]
    if len(everyone) + len(missing) > annotators.AT_MOST:
        raise InvalidRequest(
            f"The comparison would have more than {annotators.AT_MOST:,} annotators, which is the limit.", param="file"
        )
    for part in parts(missing, PEOPLE_AT_ONCE):
        for each in part:
            known[each] = ComparisonAnnotator(
                id=ids.new("annot_"), comparison_id=comparison.id, project_id=comparison.project_id, name=each
            )
            session.add(known[each])
        await session.flush()
    done.annotators = {each: known[each] for each in wanted}
    votes = select(ComparisonVote.annotator_id, ComparisonVote.item_id).where(
        ComparisonVote.annotator_id.in_([row.id for row in done.annotators.values()])
    )
    return {(annotator_id, item_id) for annotator_id, item_id in await session.execute(votes)}


async def matching(session: AsyncSession, comparison: Comparison, digests: Sequence[str]) -> dict[str, Place]:
    """Id and responses of the items with these prompts and responses, by digest."""
    statement = select(ComparisonItem.digest, ComparisonItem.id, ComparisonItem.responses).where(
        ComparisonItem.comparison_id == comparison.id,
        ComparisonItem.digest.in_(digests),
        ComparisonItem.ready,
        ComparisonItem.source != GOLD,
    )
    return {digest: (id, responses) for digest, id, responses in await session.execute(statement)}


def described(comparison: Comparison, item: Line, number: int) -> Line:
    """A new item's row."""
    return {
        "id": ids.new("cmpitem_"),
        "comparison_id": comparison.id,
        "project_id": comparison.project_id,
        "number": number,
        "prompt": item["prompt"],
        "responses": [
            {"id": ids.new("cmpresp_"), "model": None, "text": text, "finish_reason": None, "names_model": False}
            for text in item["responses"]
        ],
        "ready": True,
        "source": IMPORTED,
        "round": 0,
        "digest": item["digest"],
    }


def rows(
    comparison: Comparison,
    item: Line,
    found: Place,
    name: str,
    now: float | None,
    voted: set[tuple[str, str]],
    done: Imported,
) -> Iterator[Line]:
    """Of the votes on an item, those of annotators who have not voted on it before."""
    item_id, responses = found
    by_text = {response["text"]: response["id"] for response in responses}
    for own, vote in item["votes"].items():
        annotator = done.annotators[full_name(name, own)]
        if (annotator.id, item_id) in voted:
            done.leave_out(vote["line"], "The annotator has voted on the same responses before.")
            continue
        levels = [[by_text[text] for text in level] for level in vote["levels"]]
        picked = "pick" if len(levels[0]) == 1 else "tie"
        yield {
            "id": ids.new("vote_"),
            "comparison_id": comparison.id,
            "project_id": comparison.project_id,
            "item_id": item_id,
            "annotator_id": annotator.id,
            "repeat": False,
            "shown": [],  # nobody knows in which order
            "choice": "ranking" if comparison.mode == "rank" else picked,
            "order": {"levels": levels},
            "seconds": vote["seconds"],
            "voted_at": now,
        }
