"""Rows for reinforcement: what is a prompt, what is its item, and what is wrong with it."""

from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats import prompts, reading
from fettle.datasets.formats.rows import columns_read, shape_of
from fettle.datasets.formats.validation import validate

QUESTION = [{"role": "user", "content": "1 + 1 ="}]


class TestShape:
    @pytest.mark.parametrize(
        ("row", "shape"),
        [
            ({"prompt": "1 + 1 =", "answer": "2"}, "prompts"),
            ({"messages": QUESTION, "answer": "2"}, "prompts"),
            ({"messages": [{"role": "system", "content": "x"}, *QUESTION], "a": 1}, "prompts"),
            ({"prompt": "1 + 1 ="}, "prompts"),
            ({"messages": QUESTION}, "prompts"),
            ({"prompt": None, "answer": "2"}, "prompt_completion"),
            ({"messages": None, "prompt": "1 + 1 ="}, "prompts"),
            ({"prompt": "1 + 1 =", "completion": None}, "prompt_completion"),
            ({"prompt": "1 + 1 =", "completion": "2", "answer": "2"}, "prompt_completion"),
            ({"messages": [*QUESTION, {"role": "assistant", "content": "2"}], "answer": "2"}, "chat"),
        ],
    )
    def test_a_prompt_has_no_completion(self, row: dict[str, Any], shape: str) -> None:
        assert shape_of(row) == shape

    def test_a_table_of_prompts_is_read_whole_and_others_are_not(self) -> None:
        assert columns_read(["prompt", "answer"]) == {"prompt", "answer"}
        assert columns_read(["prompt", "completion", "answer"]) == {"prompt", "completion"}


class TestToPrompt:
    def test_every_other_key_is_the_item(self) -> None:
        found = prompts.to_prompt({"prompt": "1 + 1 =", "answer": "2", "tests": ["a"], "tools": None})
        assert found == (QUESTION, {"answer": "2", "tests": ["a"]})

    def test_what_an_sft_row_has_the_assistant_say_goes_to_the_graders(self) -> None:
        row = {"messages": [*QUESTION, {"role": "assistant", "content": "2", "weight": 1}]}
        assert prompts.to_prompt(row) == (QUESTION, {"completion": "2"})
        assert prompts.to_prompt({"prompt": "1 + 1 =", "completion": "2"}) == (QUESTION, {"completion": "2"})


class TestCheck:
    @pytest.mark.parametrize(
        ("row", "path", "code"),
        [
            ({"prompt": " ", "answer": "2"}, "prompt", "empty_text"),
            ({"prompt": 3, "answer": "2"}, "prompt", "text_not_string"),
            ({"messages": [], "answer": "2"}, "messages", "empty_messages_list"),
            ({"messages": [{"role": "usr", "content": "x"}], "a": 1}, "messages[0].role", "unrecognized_role"),
        ],
    )
    def test_what_cannot_be_answered_is_found(self, row: dict[str, Any], path: str, code: str) -> None:
        assert [(found.path, found.code) for found in prompts.check(row)] == [(path, code)]

    def test_a_csv_of_prompts_keeps_the_answers(self, tmp_path: Path) -> None:
        file = tmp_path / "prompts.csv"
        file.write_text("prompt,answer\n1 + 1 =,2\n2 + 2 =,4\n")
        report = validate(file, max_row_bytes=1000)
        assert (report.ok, report.shape, report.rows) == (True, "prompts", 2)
        assert [found.item for _, found in reading.prompts(file)] == [{"answer": "2"}, {"answer": "4"}]
