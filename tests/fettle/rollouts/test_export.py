from typing import Any

import orjson

from fettle.rollouts.export import Format, json_lines, preferences
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

    async def test_a_completion_that_was_cut_off_is_never_the_better_one(self) -> None:
        def group(number: int, *found: tuple[str, float, str]) -> list[dict[str, Any]]:
            prompt: list[Any] = []
            return [
                {"group": number, "prompt": prompt, "completion": text, "reward": reward, "stop_reason": reason}
                for text, reward, reason in found
            ]

        rows = [
            *group(1, ("cut", 3.0, "length"), ("whole", 2.0, "stop"), ("worse", 1.0, "stop")),
            *group(2, ("cut", 3.0, "length"), ("cut too", 1.0, "length")),
            *group(3, ("cut", 3.0, "length"), ("whole", 2.0, "stop")),
            *group(4, ("cut", 1.0, "length"), ("whole", 2.0, "stop")),
        ]
        pairs = [
            (each["preferred_output"][0]["content"], each["non_preferred_output"][0]["content"])
            for each in preferences(rows)
        ]
        assert pairs == [("whole", "worse"), ("whole", "cut")]

    async def test_jsonl_has_every_rollout(self, stored: Stored) -> None:
        lines = await exported(stored, "jsonl")
        assert [line["id"] for line in lines][-1] == "rollout-2-2"
        assert len(lines) == 7
