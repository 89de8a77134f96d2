"""Conversations scored by a reward model: a few together, between two steps of whoever decodes."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from fettle.errors import FettleError, InvalidRequest
from worker.engine import metrics, prompts
from worker.engine.errors import GenerationFailed, UnknownModel, WrongKind
from worker.engine.model_pool import Adapter, Pool
from worker.engine.requests import Base

TOKENS_AT_ONCE = 1024  # padding included; who decodes meanwhile waits for so many

Conversation = list[dict[str, Any]]
Score = float | FettleError


async def score(pool: Pool, name: str, conversations: Sequence[Conversation]) -> tuple[list[Score], int]:
    """A finite number for each conversation, or why there is none; and how many tokens were read.

    Raises UnknownModel, and WrongKind for what is no reward model.
    """
    base, adapter = await pool.find(name)
    if adapter is None or not adapter.scores:
        raise WrongKind(
            f"{name!r} is not a reward model and cannot score responses. Use it with /v1/chat/completions, or name "
            "a model that the method 'reward_model' has trained.",
            param="model",
        )
    found = await asyncio.to_thread(rendered, base, conversations)
    scores: list[Score] = [ids if isinstance(ids, FettleError) else math.nan for ids in found]
    known = {row: ids for row, ids in enumerate(found) if not isinstance(ids, FettleError)}
    network = await pool.network(base)
    for rows in batches({row: len(ids) for row, ids in known.items()}):
        if not pool.holds(adapter):
            raise UnknownModel(name)
        batch = [known[row] for row in rows]
        values = await pool.thread.call(partial(network.scores, adapter.slot, batch))
        for row, value in zip(rows, values, strict=True):
            no_number = GenerationFailed(f"{name!r} returned no number for this conversation.")
            scores[row] = value if math.isfinite(value) else no_number
    metrics.scored.inc(len(known))
    return scores, sum(map(len, known.values()))


def rendered(base: Base, conversations: Sequence[Conversation]) -> list[list[int] | InvalidRequest]:
    """Blocking."""
    found: list[list[int] | InvalidRequest] = []
    for conversation in conversations:
        try:
            found.append(prompts.of_conversation(base, conversation))
        except InvalidRequest as refusal:
            found.append(refusal)
    return found


def batches(lengths: dict[int, int]) -> Iterator[list[int]]:
    """Rows by length, the shortest first; as many together as TOKENS_AT_ONCE allows, and at least one."""
    batch: list[int] = []
    for row in sorted(lengths, key=lengths.__getitem__):
        if batch and lengths[row] * (len(batch) + 1) > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def refuse_text(name: str, adapter: Adapter | None) -> None:
    """Raises WrongKind for a reward model."""
    if adapter is not None and adapter.scores:
        raise WrongKind(
            f"{name!r} is a reward model. It scores responses and cannot write them. Use it with /pooling.",
            param="model",
        )


def pooling_body(name: str, scores: Sequence[Score], tokens: int) -> dict[str, Any]:
    """vLLM's answer of `/pooling`; where there is no number, an entry has `error` in the place of `data`."""
    data = [
        {"index": index, "object": "pooling", **(each.body() if isinstance(each, FettleError) else {"data": [each]})}
        for index, each in enumerate(scores)
    ]
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    return {"object": "list", "model": name, "data": data, "usage": usage}
