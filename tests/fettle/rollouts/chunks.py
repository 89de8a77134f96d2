"""Chunks of rollouts in a real storage."""

from typing import Any

from fettle.rollouts import rows, summaries
from fettle.rollouts.store import RolloutFilter, matching_rows
from fettle.storage import Storage, artifacts
from fettle.storage.local import LocalStorage
from models import RolloutChunk

Stored = tuple[LocalStorage, list[RolloutChunk]]

# step → (group, completion, reward)
STEPS: dict[int, list[tuple[int, str, float | None]]] = {
    1: [(0, "bad", 0.0), (0, "good", 1.0), (1, "same", 0.5), (1, "same too", 0.5)],
    2: [(0, "worst", -1.0), (0, "unjudged", None), (0, "best", 2.0)],
}

GRADERS = [{"name": "f", "weight": 1.0, "grader": {"type": "function", "function": "exact_match"}}]


async def store(storage: LocalStorage, step: int, found: list[tuple[int, str, float | None]]) -> RolloutChunk:
    made = []
    for index, (group, completion, reward) in enumerate(found):
        rollout: dict[str, Any] = {
            "group": group,
            "messages": [{"role": "user", "content": f"{step} {group}"}],
            "item": {},
            "completion": completion,
            "tokens": 3,
            "stop_reason": "stop",
        }
        errors = {} if reward is not None else {"f": {"flag": "other_error", "message": "odd"}}
        score = {"reward": reward, "scores": {"f": reward}, "printed": "", "errors": errors}
        made.append(rows.row(step, index, rollout, score, step))  # the rewards were edited after each step
    key = f"step-{step}"
    await artifacts.put_bytes(storage, key, rows.to_parquet(made))
    summary = summaries.of_step(made, GRADERS)
    return RolloutChunk(step=step, rows=len(made), summary=summary, storage_key=key, job_id="j", id=key)


async def loaded(storage: Storage, chunk: RolloutChunk) -> list[rows.Row]:
    """All of its rows."""
    return matching_rows(await storage.read(chunk.storage_key), RolloutFilter())
