"""Pages of rollouts, by step or by reward.

Reading one step reads one chunk. Sorting by reward reads only the chunks that can have rows of the page.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import orjson

from fettle.errors import InvalidRequest
from fettle.rollouts.rows import Row
from fettle.rollouts.store import RolloutFilter, content_of, matching_rows
from fettle.storage import Storage
from models import RolloutChunk

Sort = Literal["step", "-step", "reward", "-reward"]
PAGE_BYTES = 1 << 20  # of a page's rows as JSON; a single row may be longer


@dataclass(frozen=True)
class Part:
    """Which rows of a chunk a page may show: in the order of `sort`, behind the place `after`, at most `limit`."""

    wanted: RolloutFilter
    sort: Sort
    after: "Place | None"
    limit: int


@dataclass(frozen=True)
class Rows:
    """What a chunk has of a part. sizes: bytes of each row as JSON. cut: PAGE_BYTES were reached before its end."""

    rows: list[Row]
    sizes: list[int]
    cut: bool


Place = tuple[float, int, int]  # in the order of a page: reward, or its negative, or 0; step; index
Read = Callable[[bytes, Part], Awaitable[Rows]]  # of one chunk's content


def place_of(each: Row, sort: Sort) -> Place:
    sign = -1 if sort.startswith("-") else 1
    if sort.endswith("step"):
        return 0.0, sign * each["step"], sign * each["index"]
    return sign * each["reward"], each["step"], each["index"]


def part_of(content: bytes, part: Part) -> Rows:
    rows = [
        each for each in matching_rows(content, part.wanted) if part.sort.endswith("step") or each["reward"] is not None
    ]
    placed = sorted(((place_of(each, part.sort), each) for each in rows), key=lambda each: each[0])
    behind = [each for place, each in placed if part.after is None or place > tuple(part.after)]
    found: list[Row] = []
    sizes: list[int] = []
    for each in behind[: part.limit]:
        size = len(orjson.dumps(each))
        if found and sum(sizes) + size > PAGE_BYTES:
            return Rows(found, sizes, cut=True)
        found.append(each)
        sizes.append(size)
    return Rows(found, sizes, cut=False)


async def page(
    storage: Storage,
    found: Sequence[RolloutChunk],
    wanted: RolloutFilter,
    *,
    sort: Sort,
    after: str | None,
    limit: int,
    read: "Read | None" = None,
) -> tuple[list[Row], bool]:
    """Rows after the one with the id `after`, each with its own id, and whether there are more.

    Equal rewards are ordered by step. A page has at most PAGE_BYTES, but always a row. A chunk that cannot have any of
    the rows, by what its summary says, is not read. read: where a chunk is decoded; None: in a thread of this process.
    """
    read = read or in_thread
    start = None if after is None else position(after, "after")
    behind = None if start is None else await place_behind(storage, found, wanted, sort, start, read)
    candidates = by_step(found, sort, behind) if sort.endswith("step") else by_reward(found, sort, behind)
    kept: list[tuple[Place, int, Row]] = []
    end: Place | None = None  # behind it rows may be missing, because bytes were saved
    for first, chunk in sorted(candidates, key=lambda each: each[0]):
        if (len(kept) > limit and kept[-1][0] < first) or (end is not None and end < first):
            break
        if (content := await content_of(storage, chunk)) is None:
            continue
        more = await read(content, Part(wanted, sort, behind, limit + 1))
        places = [place_of(each, sort) for each in more.rows]
        kept = sorted([*kept, *zip(places, more.sizes, more.rows, strict=True)], key=lambda each: each[0])
        if more.cut:
            end = places[-1] if end is None else min(end, places[-1])
        kept = [each for each in kept[: limit + 1] if end is None or each[0] <= end]
        fitting = [size for size in accumulate(size for _, size, _ in kept) if size <= PAGE_BYTES]
        if len(fitting) < len(kept):
            kept = kept[: max(1, len(fitting))]
            end = kept[-1][0]
    return [each for _, _, each in kept[:limit]], end is not None or len(kept) > limit


async def place_behind(
    storage: Storage,
    found: Sequence[RolloutChunk],
    wanted: RolloutFilter,
    sort: Sort,
    start: tuple[int, int],
    read: Read,
) -> Place:
    """The place of the rollout before the page. Raises InvalidRequest for an unknown cursor."""
    step, index = start
    if sort.endswith("step"):
        return place_of({"step": step, "index": index}, sort)
    row = await rollout(storage, found, wanted, start, read)
    if row is None or row["reward"] is None:
        raise InvalidRequest(
            f"Invalid value for 'after': 'rollout-{step}-{index}'. Use the last id of the page before.", param="after"
        )
    return place_of(row, sort)


async def rollout(
    storage: Storage, found: Sequence[RolloutChunk], wanted: RolloutFilter, at: tuple[int, int], read: Read
) -> Row | None:
    """The one of a step and an index. None: there is none that is wanted."""
    step, index = at
    before = place_of({"step": step, "index": index - 1}, "step")
    for chunk in found:
        if chunk.step == step and (content := await content_of(storage, chunk)) is not None:
            for each in (await read(content, Part(wanted, "step", before, 1))).rows:
                if each["index"] == index:
                    return each
    return None


async def prompt_of(storage: Storage, found: Sequence[RolloutChunk], id: str, read: Read | None = None) -> Any:
    """The messages that a rollout answers. found: with the chunk of its step. Raises InvalidRequest."""
    at = position(id, "prompt_of")
    row = await rollout(storage, found, RolloutFilter(), at, read or in_thread)
    if row is None:
        raise InvalidRequest(
            f"The job has no rollout {id!r}, or no longer keeps it. Use the id of a rollout of this job.",
            param="prompt_of",
        )
    return row["prompt"]


def by_step(found: Sequence[RolloutChunk], sort: Sort, after: Place | None) -> Iterator[tuple[Place, RolloutChunk]]:
    """Each chunk that may have rows behind `after`, and a place before which it has none."""
    for chunk in found:
        ends = [place_of({"step": chunk.step, "index": index}, sort) for index in (0, max(0, chunk.rows - 1))]
        if after is None or max(ends) > after:
            yield min(ends), chunk


def by_reward(found: Sequence[RolloutChunk], sort: Sort, after: Place | None) -> Iterator[tuple[Place, RolloutChunk]]:
    """The same in the order of rewards."""
    sign = -1 if sort.startswith("-") else 1
    for chunk in found:
        low, high = chunk.summary["reward_min"], chunk.summary["reward_max"]
        if low is None:
            continue
        best, worst = sorted((sign * low, sign * high))
        if after is None or (best, chunk.step, 0) > after:
            yield (best, chunk.step, 0), chunk
        elif (worst, chunk.step, chunk.rows) > after:  # of the same reward only what comes in a later step
            yield (after[0] if chunk.step >= after[1] else math.nextafter(after[0], math.inf), chunk.step, 0), chunk


async def in_thread(content: bytes, part: Part) -> Rows:
    return await asyncio.to_thread(part_of, content, part)


def position(id: str, param: str) -> tuple[int, int]:
    """(step, index). Raises InvalidRequest."""
    name, _, rest = id.partition("-")
    step, _, index = rest.partition("-")
    if name != "rollout" or not all(each.isdecimal() and len(each) < 10 for each in (step, index)):
        raise InvalidRequest(
            f"Invalid value for {param!r}: {id!r}. Use the id of a rollout, such as 'rollout-3-0'.", param=param
        )
    return int(step), int(index)
