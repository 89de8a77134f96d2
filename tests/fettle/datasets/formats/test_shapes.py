"""The shape of a file: that of most rows, so that the others are told what they lack."""

from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats import parallel
from tests.fettle.datasets.formats.given import ASSISTANT, MAX_ROW_BYTES, USER, line, problems, report

CHAT: dict[str, Any] = {"messages": [USER, ASSISTANT], "source": "crm"}
PAIR: dict[str, Any] = {"prompt": "x", "completion": "y", "source": "crm"}
BETTER: dict[str, Any] = {"prompt": "x", "chosen": "y", "rejected": "z", "source": "crm"}
OPENAI: dict[str, Any] = {"input": {"messages": [USER]}, "preferred_output": [ASSISTANT]}
RANKED: dict[str, Any] = {"prompt": "x", "ranked": ["y", "z"], "source": "crm"}

# good row, bad row, what is wrong with the bad one
UNANSWERED = [
    (CHAT, {**CHAT, "messages": [USER, ASSISTANT, USER]}, [("messages[2].role", "last_message_not_assistant")]),
    (CHAT, {**CHAT, "messages": [USER]}, [("messages", "example_missing_assistant_message")]),
    (PAIR, {"prompt": "x", "source": "crm"}, [("completion", "missing_text")]),
    (BETTER, {"prompt": "x"}, [("chosen", "missing_response"), ("rejected", "missing_response")]),
    (RANKED, {"prompt": "x", "k": 1}, [("responses", "missing_ranking"), ("ranking", "missing_ranking")]),
    (
        {**OPENAI, "non_preferred_output": [{**ASSISTANT, "content": "6"}]},
        {"input": {"messages": [USER]}},
        [("preferred_output", "missing_response"), ("non_preferred_output", "missing_response")],
    ),
]


@pytest.mark.parametrize(("good", "bad", "wrong"), UNANSWERED)
@pytest.mark.parametrize("place", [0, 3, 11])
def test_a_row_without_an_answer_is_told_so_wherever_it_stands(
    place: int, good: dict[str, Any], bad: dict[str, Any], wrong: list[tuple[str, str]], tmp_path: Path
) -> None:
    rows = [good] * 11
    rows.insert(place, bad)
    assert problems(tmp_path, b"".join(map(line, rows))) == [(place + 1, *each) for each in wrong]


@pytest.mark.parametrize("place", [0, 3, 11])
def test_one_row_of_another_shape_is_the_one_that_is_wrong(place: int, tmp_path: Path) -> None:
    rows = [CHAT] * 11
    rows.insert(place, {"instruction": "x", "output": "y"})
    assert problems(tmp_path, b"".join(map(line, rows))) == [(place + 1, "", "mixed_shapes")]


def test_of_as_many_rows_the_shape_with_answers_is_the_files(tmp_path: Path) -> None:
    assert problems(tmp_path, line({"prompt": "x"}) * 2 + line(PAIR) * 2) == [
        (1, "completion", "missing_text"),
        (2, "completion", "missing_text"),
    ]


@pytest.mark.parametrize("place", [0, 1, 30_000])
def test_a_large_file_is_no_different(place: int, tmp_path: Path) -> None:
    rows = [line(PAIR)] * 30_000
    rows.insert(place, line({"prompt": "x", "source": "crm"}))
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"".join(rows))
    with path.open("rb") as file:
        found = parallel.check_on(2, file, MAX_ROW_BYTES)
    assert [(each.line, each.path, each.code) for each in found.errors] == [(place + 1, "completion", "missing_text")]
    assert (found.shape, found.rows) == ("prompt_completion", 30_000)


def test_notes_of_a_large_file_are_those_of_a_small_one(tmp_path: Path) -> None:
    content = line({"prompt": "x", "response": "y"}) * 30_000
    small = report(tmp_path, content)
    with (tmp_path / "data.jsonl").open("rb") as file:
        assert parallel.check_on(2, file, MAX_ROW_BYTES) == small
    assert [note.code for note in small.notes] == ["answer_is_an_item"]
