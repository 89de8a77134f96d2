"""Pages of rollouts, from real Parquet in a real storage."""

import random
from pathlib import Path
from typing import cast

import orjson
import pytest

from fettle.errors import InvalidRequest
from fettle.rollouts import pages
from fettle.rollouts.pages import Sort
from fettle.rollouts.store import RolloutFilter
from fettle.storage.local import LocalStorage
from models import RolloutChunk
from tests.fettle.rollouts.chunks import Stored, loaded
from tests.fettle.rollouts.chunks import store as put


async def said(
    stored: Stored, wanted: RolloutFilter, sort: str, after: str | None = None, limit: int = 20
) -> list[str]:
    storage, chunks = stored
    found = [chunk for chunk in chunks if wanted.may_match(chunk)]
    rows, _ = await pages.page(storage, found, wanted, sort=cast(Sort, sort), after=after, limit=limit)
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
            rows, more = await pages.page(storage, chunks, RolloutFilter(), sort=sort, after=after, limit=2)
            heard += [row["completion"] for row in rows]
            after = rows[-1]["id"]
        assert heard == expected

    async def test_rewards_are_filtered_both_ends_included(self, stored: Stored) -> None:
        assert await said(stored, RolloutFilter(min_reward=0.5, max_reward=1.0), "step") == ["good", "same", "same too"]
        assert await said(stored, RolloutFilter(max_reward=-1.0), "step") == ["worst"]

    async def test_by_the_version_of_the_rewards_and_by_errors(self, stored: Stored) -> None:
        assert await said(stored, RolloutFilter(reward_version=2), "step") == ["worst", "unjudged", "best"]
        assert await said(stored, RolloutFilter(reward_version=3), "step") == []
        assert await said(stored, RolloutFilter(error=True), "-step") == ["unjudged"]
        assert await said(stored, RolloutFilter(error=False, reward_version=2), "reward") == ["worst", "best"]

    async def test_by_the_prompt_of_another_rollout(self, stored: Stored) -> None:
        prompt = await pages.prompt_of(*stored, "rollout-1-2")
        assert prompt == [{"role": "user", "content": "1 1"}]
        assert await said(stored, RolloutFilter(prompt=prompt), "step") == ["same", "same too"]
        with pytest.raises(InvalidRequest, match=r"no rollout 'rollout-9-0'"):
            await pages.prompt_of(*stored, "rollout-9-0")

    def test_a_chunk_without_a_wanted_reward_is_not_read(self, stored: Stored) -> None:
        first, second = stored[1]
        assert not RolloutFilter(min_reward=1.5).may_match(first)
        assert RolloutFilter(min_reward=1.5).may_match(second)

    async def test_a_cursor_that_is_none_is_refused(self, stored: Stored) -> None:
        with pytest.raises(InvalidRequest, match="id of a rollout"):
            await said(stored, RolloutFilter(), "step", after="ftevent-1")


class Counting(LocalStorage):
    """Knows how often it was read."""

    reads = 0

    async def read(self, key: str) -> bytes:
        self.reads += 1
        return await super().read(key)


class TestManySteps:
    """Rewards of 0, ½ and 1, so that most are equal, as those of right and wrong are."""

    STEPS_MADE, EACH = 40, 6

    @pytest.fixture
    async def many(self, tmp_path: Path) -> tuple[Counting, list[RolloutChunk]]:
        chance, storage, chunks = random.Random(3), Counting(tmp_path), []
        for step in range(1, self.STEPS_MADE + 1):
            rewards = [chance.choice([0.0, 0.5, 1.0, None]) for _ in range(self.EACH)]
            if step % 7 == 0:
                rewards = [0.0] * self.EACH
            chunks.append(await put(storage, step, [(0, f"{step} {index}", r) for index, r in enumerate(rewards)]))
        return storage, chunks

    @pytest.mark.parametrize("sort", ["reward", "-reward"])
    @pytest.mark.parametrize("limit", [1, 5, 100])
    async def test_pages_make_up_what_sorting_all_of_them_gives(
        self, many: tuple[Counting, list[RolloutChunk]], sort: Sort, limit: int
    ) -> None:
        storage, chunks = many
        known = [row for chunk in chunks for row in await loaded(storage, chunk)]
        sign = -1 if sort == "-reward" else 1
        known = [row for row in known if row["reward"] is not None]
        expected = sorted(known, key=lambda row: (sign * row["reward"], row["step"], row["index"]))
        heard: list[str] = []
        after, more = None, True
        while more:
            rows, more = await pages.page(storage, chunks, RolloutFilter(), sort=sort, after=after, limit=limit)
            heard += [row["id"] for row in rows]
            after = rows[-1]["id"]
        assert heard == [row["id"] for row in expected]

    async def test_a_page_reads_a_few_steps_and_not_the_whole_run(
        self, many: tuple[Counting, list[RolloutChunk]]
    ) -> None:
        storage, chunks = many
        rows, _ = await pages.page(storage, chunks, RolloutFilter(), sort="-reward", after=None, limit=5)
        assert storage.reads < 10
        storage.reads = 0
        await pages.page(storage, chunks, RolloutFilter(), sort="-reward", after=rows[-1]["id"], limit=5)
        assert storage.reads < 15

    async def test_what_was_let_go_meanwhile_is_no_error(self, many: tuple[Counting, list[RolloutChunk]]) -> None:
        storage, chunks = many
        await storage.delete(chunks[0].storage_key)
        rows, _ = await pages.page(storage, chunks, RolloutFilter(), sort="step", after=None, limit=1)
        assert rows[0]["step"] == 2


class TestPageBytes:
    @pytest.mark.parametrize("sort", ["step", "-step", "reward", "-reward"])
    async def test_pages_of_long_rows_are_short_and_lose_none(
        self, tmp_path: Path, sort: Sort, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pages, "PAGE_BYTES", 5_000)
        storage = LocalStorage(tmp_path)
        text = "x" * 2_000
        steps = {n: [(0, f"{n} {index} {text}", (n + index) % 3 / 2) for index in range(4)] for n in (1, 2, 3)}
        steps[2][1] = (0, "y" * 20_000, 0.5)  # longer than a page by itself
        chunks = [await put(storage, step, rows) for step, rows in steps.items()]
        seen: list[str] = []
        after, more = None, True
        while more:
            rows, more = await pages.page(storage, chunks, RolloutFilter(), sort=sort, after=after, limit=100)
            assert len(rows) == 1 or len(orjson.dumps(rows)) < 5_100
            seen += [row["id"] for row in rows]
            after = rows[-1]["id"]
        whole = [row for chunk in chunks for row in await loaded(storage, chunk)]
        assert seen == [row["id"] for row in sorted(whole, key=lambda row: pages.place_of(row, sort))]
