"""Every completion that a job learned from: Parquet chunks in storage, one a step, and an index row for each.

Reading one step reads one chunk; sorting a whole run by reward reads them all.
"""

import asyncio
import io
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
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
class Wanted:
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

    def holds(self, each: Row) -> bool:
        if self.reward_version not in (None, each["reward_version"]):
            return False
        if self.error not in (None, bool(each["errors"])):
            return False
        if not self.by_reward:
            return True
        low = float("-inf") if self.min_reward is None else self.min_reward
        high = float("inf") if self.max_reward is None else self.max_reward
        return each["reward"] is not None and low <= each["reward"] <= high

    def may_hold(self, chunk: RolloutChunk) -> bool:
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


async def chunks(session: AsyncSession, job_id: str, wanted: Wanted) -> list[RolloutChunk]:
    """By step."""
    statement = select(RolloutChunk).where(RolloutChunk.job_id == job_id).order_by(RolloutChunk.step)
    if wanted.step is not None:
        statement = statement.where(RolloutChunk.step == wanted.step)
    return [chunk for chunk in await session.scalars(statement) if wanted.may_hold(chunk)]


async def page(
    storage: Storage,
    found: Sequence[RolloutChunk],
    wanted: Wanted,
    *,
    sort: Sort,
    after: str | None,
    limit: int,
    read: "Read | None" = None,
) -> tuple[list[Row], bool]:
    """Rows after the one with the id `after`, each with its own id, and whether there are more."""
    start = position(after)
    backwards = sort.startswith("-")
    if sort.endswith("step"):
        rows: list[Row] = []
        for chunk in reversed(found) if backwards else found:
            if start is not None and (chunk.step > start[0] if backwards else chunk.step < start[0]):
                continue
            held = await load(storage, chunk, wanted, read)
            for each in reversed(held) if backwards else held:
                place = (each["step"], each["index"])
                if start is None or (place < start if backwards else place > start):
                    rows.append(each)
            if len(rows) > limit:
                break
        return rows[:limit], len(rows) > limit
    return await page_by_reward(storage, found, wanted, best_first=backwards, start=start, limit=limit, read=read)


async def page_by_reward(
    storage: Storage,
    found: Sequence[RolloutChunk],
    wanted: Wanted,
    *,
    best_first: bool,
    start: tuple[int, int] | None,
    limit: int,
    read: "Read | None",
) -> tuple[list[Row], bool]:
    """As `page`; equal rewards by step. Reads no chunk that cannot hold any of the rows, by what its summary says."""
    sign = -1 if best_first else 1

    def place(each: Row) -> Place:
        return sign * each["reward"], each["step"], each["index"]

    after = None
    if start is not None:
        same = [each for chunk in found if chunk.step == start[0] for each in await load(storage, chunk, wanted, read)]
        places = [place(each) for each in same if each["index"] == start[1] and each["reward"] is not None]
        if not places:
            raise InvalidRequest(
                f"No rollout with the id 'rollout-{start[0]}-{start[1]}' to go on from.", param="after"
            )
        after = places[0]
    kept: list[Row] = []
    for first, chunk in sorted(firsts(found, sign, after), key=lambda each: each[0]):
        if len(kept) > limit and place(kept[-1]) < first:
            break
        known = [each for each in await load(storage, chunk, wanted, read) if each["reward"] is not None]
        kept += [each for each in known if after is None or place(each) > after]
        kept = sorted(kept, key=place)[: limit + 1]
    return kept[:limit], len(kept) > limit


Place = tuple[float, int, int]  # in the order of rewards: reward, or its negative; step; index


def firsts(found: Sequence[RolloutChunk], sign: int, after: Place | None) -> Iterator[tuple[Place, RolloutChunk]]:
    """Each chunk that may have rows behind `after`, and a place before which it has none."""
    for chunk in found:
        low, high = chunk.summary["reward_min"], chunk.summary["reward_max"]
        if low is None:
            continue
        best, worst = sorted((sign * low, sign * high))
        if after is None or (best, chunk.step, 0) > after:
            yield (best, chunk.step, 0), chunk
        elif (worst, chunk.step, chunk.rows) > after:  # of the same reward only what comes in a later step
            yield (after[0] if chunk.step >= after[1] else math.nextafter(after[0], math.inf), chunk.step, 0), chunk


Read = Callable[[bytes, Wanted], Awaitable[list[Row]]]  # of one chunk's content


async def load(storage: Storage, chunk: RolloutChunk, wanted: Wanted, read: Read | None = None) -> list[Row]:
    """read: where the content is decoded; None: in a thread of this process."""
    try:
        content = await storage.read(chunk.storage_key)
    except Missing:  # let go meanwhile, or replaced by another attempt at the step
        return []
    return await (read or in_thread)(content, wanted)


async def in_thread(content: bytes, wanted: Wanted) -> list[Row]:
    return await asyncio.to_thread(chosen, content, wanted)


def chosen(content: bytes, wanted: Wanted) -> list[Row]:
    """The rows of a chunk that are wanted, each with its id."""
    return [{"id": identity(each), **each} for each in from_parquet(content) if wanted.holds(each)]


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


async def as_jsonl(
    storage: Storage, found: Sequence[RolloutChunk], wanted: Wanted, read: Read | None = None
) -> AsyncIterator[bytes]:
    """Every rollout on a line of its own."""
    for chunk in found:
        for each in await load(storage, chunk, wanted, read):
            yield orjson.dumps(each) + b"\n"


async def as_preferences(
    storage: Storage, found: Sequence[RolloutChunk], wanted: Wanted, read: Read | None = None
) -> AsyncIterator[bytes]:
    """OpenAI's preference rows: of each group the best against the worst, where they differ in reward and text."""
    for chunk in found:
        groups: dict[int, list[Row]] = {}
        for each in await load(storage, chunk, wanted, read):
            if each["reward"] is not None:
                groups.setdefault(each["group"], []).append(each)
        for rows in groups.values():
            best, worst = max(rows, key=reward_of), min(rows, key=reward_of)
            if best["reward"] > worst["reward"] and best["completion"] != worst["completion"]:
                yield orjson.dumps(pair(best, worst)) + b"\n"


def reward_of(each: Row) -> float:
    return float(each["reward"])


def pair(best: Row, worst: Row) -> Row:
    return {
        "input": {"messages": best["prompt"]},
        "preferred_output": [{"role": "assistant", "content": best["completion"]}],
        "non_preferred_output": [{"role": "assistant", "content": worst["completion"]}],
    }
