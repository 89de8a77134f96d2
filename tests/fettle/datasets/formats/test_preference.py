"""Rows with two responses, in every shape that they come in."""

from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats.preference import Pair, to_conversation, to_pairs
from fettle.datasets.formats.rows import shape_of
from tests.fettle.datasets.formats.given import line, message, problems, report

USER, BETTER, WORSE = message("user", "2 + 3 = ?"), message("assistant", "5"), message("assistant", "6")
PAIR = Pair([USER], BETTER, WORSE)
SHAPES: dict[str, dict[str, Any]] = {
    "openai": {"input": {"messages": [USER]}, "preferred_output": [BETTER], "non_preferred_output": [WORSE]},
    "openai, older": {
        "input": {"messages": [USER]},
        "preferred_completion": [BETTER],
        "non_preferred_completion": [WORSE],
    },
    "openai, with what it also sends": {
        "input": {"messages": [USER], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [BETTER],
        "non_preferred_output": [WORSE],
    },
    "trl": {"prompt": "2 + 3 = ?", "chosen": "5", "rejected": "6"},
    "trl, messages": {"prompt": [USER], "chosen": [BETTER], "rejected": [WORSE]},
    "trl, no prompt": {"chosen": [USER, BETTER], "rejected": [USER, WORSE]},
    "trl, more columns": {"prompt": "2 + 3 = ?", "chosen": "5", "rejected": "6", "score": 0.5, "source": None},
}


@pytest.mark.parametrize("row", SHAPES.values(), ids=SHAPES)
class TestEveryShape:
    def test_is_good_and_known(self, row: dict[str, Any], tmp_path: Path) -> None:
        assert problems(tmp_path, line(row)) == []
        assert shape_of(row) == "preference"

    def test_is_one_pair(self, row: dict[str, Any]) -> None:
        (pair,) = to_pairs(row)
        assert pair[:3] == PAIR[:3]
        assert pair.variables == {}

    def test_reads_as_a_conversation_with_the_better_response(self, row: dict[str, Any]) -> None:
        assert to_conversation(row).messages == [USER, BETTER]


def test_an_assistants_message_in_the_prompt_is_context() -> None:
    (pair,) = to_pairs({"prompt": [USER, BETTER, USER], "chosen": "a", "rejected": "b"})
    assert [turn.get("weight") for turn in pair.prompt] == [None, 0, None]


def test_a_csv_file_holds_its_texts_as_they_are(tmp_path: Path) -> None:
    found = report(tmp_path, b'prompt,chosen,rejected\n"2 + 3 = ?",5,6\n"1, 2",a,b\n')
    assert (found.ok, found.rows, found.shape) == (True, 2, "preference")


def test_rows_of_pairs_and_of_prompts_do_not_mix(tmp_path: Path) -> None:
    both = line(SHAPES["trl"]) + line({"prompt": "x", "completion": "y"})
    assert problems(tmp_path, both) == [(2, "", "mixed_shapes")]


def test_tools_of_the_prompt_reach_the_template() -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    row = SHAPES["openai"] | {"input": {"messages": [USER], "tools": [tool]}}
    (pair,) = to_pairs(row)
    assert pair.variables == {"tools": [tool]}
