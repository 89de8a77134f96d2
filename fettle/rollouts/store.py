"""Every completion that a job learned from: Parquet chunks in storage, one a step, and an index row for each.

Reading one step reads one chunk; sorting a whole run by reward reads them all.
"""

import asyncio
import io
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from fettle.errors import InvalidRequest
from fettle.storage import Missing, Storage
from models import RolloutChunk

Row = dict[str, Any]
Sort = Literal["step", "-step", "reward", "-reward"]

# pyarrow takes a while to import, and only who reads or writes rollouts needs it
COLUMNS = {
    "step": "int32",
    "index": "int32",
    "group": "int32",
    "prompt": "string",  # JSON, as all that is nested
    "item": "string",
    "completion": "string",
    "reward": "float64",
    "scores": "string",
    "advantage": "float64",
    "kl": "float64",  # nats from where the policy began; null where it is not reckoned
    "tokens": "int32",
    "stop_reason": "string",
    "printed": "string",
    "errors": "string",
    "reward_version": "int32",
}
PAGE_BYTES = 1 << 20  # of a page's rows as JSON; a single row may be longer
PIECE = 1 << 18  # bytes of an export that are sent at once
NESTED = ("prompt", "item", "scores", "errors")


def row(step: int, index: int, rollout: Row, score: Row, version: int | None) -> Row:
    """One rollout as it is stored; without advantage and KL where they are not known yet.

    index: within the step. version: of the rewards; a reward model has none.
    """
    return {
        "step": step,
        "index": index,
        "group": rollout["group"],
        "prompt": rollout["messages"],
        "item": rollout["item"],
        "completion": rollout["completion"],
        "reward": score["reward"],
        "scores": score["scores"],
        "advantage": rollout.get("advantage"),
        "kl": rollout.get("kl"),
        "tokens": rollout["tokens"],
        "stop_reason": rollout["stop_reason"],
        "printed": score.get("printed", ""),
        "errors": score.get("errors", {}),
        "reward_version": version,
    }


def to_parquet(rows: Sequence[Row]) -> bytes:
    flat = [{**each, **{name: orjson.dumps(each[name]).decode() for name in NESTED}} for each in rows]
    out = io.BytesIO()
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema({name: getattr(pyarrow, kind)() for name, kind in COLUMNS.items()})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(flat, schema=schema), out, compression="zstd")
    return out.getvalue()


def from_parquet(content: bytes) -> list[Row]:
    import pyarrow.parquet

    rows: list[Row] = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    return [{**each, **{name: orjson.loads(each[name]) for name in NESTED}} for each in rows]


@dataclass(frozen=True)
class RolloutFilter:
    """Which rollouts: of one step, with a reward from `min_reward` up to `max_reward`, both ends included.

    reward_version: judged by this one. error: True for those that a grader failed on, False for the others.
    """

    step: int | None = None
    min_reward: float | None = None
    max_reward: float | None = None
    reward_version: int | None = None
    error: bool | None = None

    @property
    def by_reward(self) -> bool:
        return self.min_reward is not None or self.max_reward is not None

    def matches(self, each: Row) -> bool:
        if self.reward_version not in (None, each["reward_version"]):
            return False
        if self.error not in (None, bool(each["errors"])):
            return False
        if not self.by_reward:
            return True
        low = float("-inf") if self.min_reward is None else self.min_reward
        high = float("inf") if self.max_reward is None else self.max_reward
        return each["reward"] is not None and low <= each["reward"] <= high

    def may_match(self, chunk: RolloutChunk) -> bool:
        """False: no row of the chunk is wanted."""
        low, high = chunk.summary["reward_min"], chunk.summary["reward_max"]
        if self.reward_version not in (None, chunk.summary["reward_version"]):
            return False
        if not self.by_reward:
            return True
        if low is None:
            return False
        return not (
            (self.min_reward is not None and high < self.min_reward)
            or (self.max_reward is not None and low > self.max_reward)
        )


async def chunks(session: AsyncSession, job_id: str, wanted: RolloutFilter) -> list[RolloutChunk]:
    """By step."""
    statement = select(RolloutChunk).where(RolloutChunk.job_id == job_id).order_by(RolloutChunk.step)
    if wanted.step is not None:
        statement = statement.where(RolloutChunk.step == wanted.step)
    return [chunk for chunk in await session.scalars(statement) if wanted.may_match(chunk)]


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
    start = position(after)
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
    """The place of the rollout to go on from. Raises InvalidRequest for a cursor that is not there."""
    step, index = start
    if sort.endswith("step"):
        return place_of({"step": step, "index": index}, sort)
    for chunk in found:
        if chunk.step == step and (content := await content_of(storage, chunk)) is not None:
            before = place_of({"step": step, "index": index - 1}, "step")
            for each in (await read(content, Part(wanted, "step", before, 1))).rows:
                if each["index"] == index and each["reward"] is not None:
                    return place_of(each, sort)
    raise InvalidRequest(
        f"Invalid value for 'after': 'rollout-{step}-{index}'. Use the last id of the page before.", param="after"
    )


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


async def content_of(storage: Storage, chunk: RolloutChunk) -> bytes | None:
    """None when it was deleted meanwhile, or replaced by another attempt at the step."""
    try:
        return await storage.read(chunk.storage_key)
    except Missing:
        return None


async def load(storage: Storage, chunk: RolloutChunk, wanted: RolloutFilter) -> list[Row]:
    """Its rows, all of them, in this process."""
    content = await content_of(storage, chunk)
    return [] if content is None else await asyncio.to_thread(matching_rows, content, wanted)


async def in_thread(content: bytes, part: Part) -> Rows:
    return await asyncio.to_thread(part_of, content, part)


def matching_rows(content: bytes, wanted: RolloutFilter) -> list[Row]:
    """The rows of a chunk that are wanted, each with its id."""
    return [{"id": identity(each), **each} for each in from_parquet(content) if wanted.matches(each)]


def identity(each: Row) -> str:
    return f"rollout-{each['step']}-{each['index']}"


def position(id: str | None) -> tuple[int, int] | None:
    """(step, index). Raises InvalidRequest."""
    if id is None:
        return None
    name, _, rest = id.partition("-")
    step, _, index = rest.partition("-")
    if name != "rollout" or not step.isdecimal() or not index.isdecimal():
        raise InvalidRequest(
            f"Invalid value for 'after': {id!r}. Use the id of a rollout, such as 'rollout-3-0'.", param="after"
        )
    return int(step), int(index)


Format = Literal["jsonl", "dpo"]
Encode = Callable[[bytes, RolloutFilter, Format], Awaitable[bytes]]  # one chunk's content as lines of JSON


async def export(
    storage: Storage, found: Sequence[RolloutChunk], wanted: RolloutFilter, format: Format, encode: Encode | None = None
) -> AsyncIterator[bytes]:
    """Lines of JSON, in pieces. encode: where a chunk is decoded; None: in a thread of this process."""
    for chunk in found:
        if (content := await content_of(storage, chunk)) is None:
            continue
        if encode is None:
            lines = await asyncio.to_thread(encode_rows, content, wanted, format)
        else:
            lines = await encode(content, wanted, format)
        for start in range(0, len(lines), PIECE):
            yield lines[start : start + PIECE]


def encode_rows(content: bytes, wanted: RolloutFilter, format: Format) -> bytes:
    rows = matching_rows(content, wanted)
    return b"".join(orjson.dumps(each) + b"\n" for each in (rows if format == "jsonl" else preferences(rows)))


def preferences(rows: Sequence[Row]) -> Iterator[Row]:
    """OpenAI's preference rows: of each group the best against the worst, where they differ in reward and text."""
    groups: dict[int, list[Row]] = {}
    for each in rows:
        if each["reward"] is not None:
            groups.setdefault(each["group"], []).append(each)
    for group in groups.values():
        best, worst = max(group, key=reward_of), min(group, key=reward_of)
        if best["reward"] > worst["reward"] and best["completion"] != worst["completion"]:
            yield pair(best, worst)


def reward_of(each: Row) -> float:
    return float(each["reward"])


def pair(best: Row, worst: Row) -> Row:
    return {
        "input": {"messages": best["prompt"]},
        "preferred_output": [{"role": "assistant", "content": best["completion"]}],
        "non_preferred_output": [{"role": "assistant", "content": worst["completion"]}],
    }
