from pathlib import Path
from typing import Any

import pytest

from fettle.formats.rows import SHAPES, read_messages, shape_of, to_messages
from tests.fettle.formats.given import ASSISTANT, GOOD, USER, chat, line, message, problems

PAIR = [message("user", "2 + 3 = ?"), message("assistant", "5")]


def test_a_chat_row_is_its_messages() -> None:
    system = message("system", "Be brief.")
    earlier = message("assistant", "4", weight=0)
    messages = [system, USER, earlier, message("user", "Sure?", name="Tom"), message("assistant", "5", weight=1)]
    assert to_messages({"messages": messages}) == messages


def test_keys_of_a_message_that_are_null_are_absent(tmp_path: Path) -> None:
    null = {"weight": None, "name": None, "tool_calls": None, "refusal": None}
    row = {"messages": [{**USER, **null}, {**ASSISTANT, **null}]}
    assert problems(tmp_path, line(row)) == []
    assert to_messages(row) == [USER, ASSISTANT]


def test_a_chat_rows_other_keys_stay_out_of_training(tmp_path: Path) -> None:
    row = {"messages": [USER, ASSISTANT], "answer": 5, "tools": [], "functions": None, "prompt": "x"}
    assert problems(tmp_path, line(row)) == []
    assert to_messages(row) == [USER, ASSISTANT]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "2 + 3 = ?", "completion": "5"},
        {"Prompt": "2 + 3 = ?", "Completion": "5"},
        {"Prompt": "2 + 3 = ?", "completion": "5", "prompt": None},
        {"prompt": "2 + 3 = ?", "completion": "5", "Prompt": "x", "answer": "5", "label": {"a": [1]}},
    ],
)
def test_a_prompt_and_its_completion_are_a_user_and_an_assistant(row: dict[str, Any], tmp_path: Path) -> None:
    assert problems(tmp_path, line(row)) == []
    assert to_messages(row) == PAIR


@pytest.mark.parametrize(
    "messages",
    [
        [USER, USER, ASSISTANT, ASSISTANT],
        [ASSISTANT],
        [message("system", "Be brief."), ASSISTANT],
        [message("user", ""), ASSISTANT],
        [USER, message("assistant", "5", weight=0), USER, message("assistant", "5", weight=1.0)],
        [USER, message("assistant", "5", weight=0), ASSISTANT],
        [message("user", "x", name="Tom"), ASSISTANT],
    ],
)
def test_unusual_conversations_are_fine(messages: list[dict[str, Any]], tmp_path: Path) -> None:
    assert problems(tmp_path, chat(*messages)) == []


def test_a_file_is_read_one_conversation_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(GOOD + chat(ASSISTANT) + b"\n \n")
    conversations = read_messages(file)
    assert next(conversations) == [USER, ASSISTANT]
    assert list(conversations) == [[ASSISTANT]]


def test_a_row_of_no_shape_is_refused_by_its_keys() -> None:
    assert shape_of({"text": "x"}) is None
    with pytest.raises(ValueError, match=r"\['text'\].*chat, prompt_completion"):
        to_messages({"text": "x"})


def test_every_shape_claims_a_row_of_its_own_keys() -> None:
    for name, shape in SHAPES.items():
        for key in shape.keys:
            assert shape_of({key: None}) == name
