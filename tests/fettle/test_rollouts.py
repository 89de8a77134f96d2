"""Pages and exports of rollouts, from real Parquet in a real storage."""

from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from fettle import artifacts, rollouts
from fettle.errors import InvalidRequest
from fettle.rollouts import Sort, Wanted
from fettle.storage.local import LocalStorage
from models import RolloutChunk

# step → (group, completion, reward)
STEPS: dict[int, list[tuple[int, str, float | None]]] = {
    1: [(0, "bad", 0.0), (0, "good", 1.0), (1, "same", 0.5), (1, "same too", 0.5)],
    2: [(0, "worst", -1.0), (0, "unjudged", None), (0, "best", 2.0)],
}

GRADERS = [{"name": "f", "weight": 1.0, "grader": {"type": "function", "function": "exact_match"}}]


@pytest.fixture
async def stored(tmp_path: Path) -> tuple[LocalStorage, list[RolloutChunk]]:
    storage, chunks = LocalStorage(tmp_path), []
    for step, found in STEPS.items():
        rows = []
        for index, (group, completion, reward) in enumerate(found):
            rollout: dict[str, Any] = {
                "group": group,
                "messages": [{"role": "user", "content": f"{step} {group}"}],
                "item": {},
                "completion": completion,
                "tokens": 3,
                "stop_reason": "stop",
            }
            score = {"reward": reward, "scores": {"f": reward}, "printed": "", "errors": {}}
            rows.append(rollouts.row(step, index, rollout, score, 1))
        key = f"step-{step}"
        await artifacts.put_bytes(storage, key, rollouts.to_parquet(rows))
        chunks.append(
            RolloutChunk(
                step=step, rows=len(rows), summary=rollouts.summary(rows, GRADERS), storage_key=key, job_id="j", id=key
            )
        )
    return storage, chunks


Stored = tuple[LocalStorage, list[RolloutChunk]]


async def said(stored: Stored, wanted: Wanted, sort: str, after: str | None = None, limit: int = 20) -> list[str]:
    storage, chunks = stored
    found = [chunk for chunk in chunks if wanted.may_hold(chunk)]
    rows, _ = await rollouts.page(storage, found, wanted, sort=cast(Sort, sort), after=after, limit=limit)
    return [row["completion"] for row in rows]


class TestPage:
    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("step", ["bad", "good", "same", "same too", "worst", "unjudged", "best"]),
            ("-step", ["best", "unjudged", "worst", "same too", "same", "good", "bad"]),
            ("reward", ["worst", "bad", "same", "same too", "good", "best"]),
            ("-reward", ["best", "good", "same", "same too", "bad", "worst"]),
        ],
    )
    async def test_pages_of_two_make_up_the_whole_in_every_order(
        self, stored: Stored, sort: Sort, expected: list[str]
    ) -> None:
        storage, chunks = stored
        heard: list[str] = []
        after, more = None, True
        while more:
            rows, more = await rollouts.page(storage, chunks, Wanted(), sort=sort, after=after, limit=2)
            heard += [row["completion"] for row in rows]
            after = rows[-1]["id"]
        assert heard == expected

    async def test_rewards_are_filtered_both_ends_included(self, stored: Stored) -> None:
        assert await said(stored, Wanted(min_reward=0.5, max_reward=1.0), "step") == ["good", "same", "same too"]
        assert await said(stored, Wanted(max_reward=-1.0), "step") == ["worst"]

    def test_a_chunk_without_a_wanted_reward_is_not_read(self, stored: Stored) -> None:
        first, second = stored[1]
        assert not Wanted(min_reward=1.5).may_hold(first)
        assert Wanted(min_reward=1.5).may_hold(second)

    async def test_a_cursor_that_is_none_is_refused(self, stored: Stored) -> None:
        with pytest.raises(InvalidRequest, match="no rollout's id"):
            await said(stored, Wanted(), "step", after="ftevent-1")


class TestExport:
    async def test_a_pair_is_the_best_against_the_worst_of_a_group_that_differs(self, stored: Stored) -> None:
        lines = [orjson.loads(line) async for line in rollouts.as_preferences(*stored, Wanted())]
        assert [
            (
                line["input"]["messages"][0]["content"],
                line["preferred_output"][0]["content"],
                line["non_preferred_output"][0]["content"],
            )
            for line in lines
        ] == [("1 0", "good", "bad"), ("2 0", "best", "worst")]

    async def test_jsonl_has_every_rollout(self, stored: Stored) -> None:
        lines = [orjson.loads(line) async for line in rollouts.as_jsonl(*stored, Wanted())]
        assert [line["id"] for line in lines][-1] == "rollout-2-2"
        assert len(lines) == 7
