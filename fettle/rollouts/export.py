"""Rollouts as lines of JSON: all of them, or the best and the worst of each group as preference rows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Literal

import orjson

from fettle.rollouts.rows import Row
from fettle.rollouts.store import RolloutFilter, content_of, matching_rows
from fettle.storage import Storage
from models import RolloutChunk

Format = Literal["jsonl", "dpo"]
Encode = Callable[[bytes, RolloutFilter, Format], Awaitable[bytes]]  # one chunk's content as lines of JSON
PIECE = 1 << 18  # bytes of an export that are sent at once


async def json_lines(
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
    """OpenAI's preference rows: of each group the best against the worst, where they differ in reward and text.

    A completion that was cut off is never the better one: whoever learned from it would learn to end where it was cut.
    """
    groups: dict[int, list[Row]] = {}
    for each in rows:
        if each["reward"] is not None:
            groups.setdefault(each["group"], []).append(each)
    for group in groups.values():
        whole = [each for each in group if each["stop_reason"] != "length"]
        if not whole:
            continue
        best, worst = max(whole, key=reward_of), min(group, key=reward_of)
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
