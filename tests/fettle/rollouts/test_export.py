from typing import Any

import orjson

from fettle.rollouts.export import Format, json_lines
from fettle.rollouts.store import RolloutFilter
from tests.fettle.rollouts.chunks import Stored


async def exported(stored: Stored, format: Format) -> list[dict[str, Any]]:
    content = b"".join([piece async for piece in json_lines(*stored, RolloutFilter(), format)])
    return [orjson.loads(line) for line in content.splitlines()]


class TestExport:
    async def test_a_pair_is_the_best_against_the_worst_of_a_group_that_differs(self, stored: Stored) -> None:
        lines = await exported(stored, "dpo")
        assert [
            (
                line["input"]["messages"][0]["content"],
                line["preferred_output"][0]["content"],
                line["non_preferred_output"][0]["content"],
            )
            for line in lines
        ] == [("1 0", "good", "bad"), ("2 0", "best", "worst")]

    async def test_jsonl_has_every_rollout(self, stored: Stored) -> None:
        lines = await exported(stored, "jsonl")
        assert [line["id"] for line in lines][-1] == "rollout-2-2"
        assert len(lines) == 7
