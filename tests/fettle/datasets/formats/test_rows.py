from itertools import product
from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats.reading import Unreadable, conversations
from fettle.datasets.formats.rows import SHAPES, shape_of, to_conversation
from tests.fettle.datasets.formats.given import ASSISTANT, GOOD, USER, chat, line, message, problems

CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
PAIR = [message("user", "2 + 3 = ?"), message("assistant", "5")]


def messages_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    return to_conversation(row).messages


def test_a_chat_row_is_its_messages() -> None:
    system = message("system", "Be brief.")
    earlier = message("assistant", "4", weight=0)
    messages = [system, USER, earlier, message("user", "Sure?", name="Tom"), message("assistant", "5", weight=1)]
    assert messages_of({"messages": messages}) == messages


def test_keys_of_a_message_that_are_null_are_absent(tmp_path: Path) -> None:
    null = {"weight": None, "name": None, "tool_calls": None, "refusal": None}
    row = {"messages": [{**USER, **null}, {**ASSISTANT, **null}]}
    assert problems(tmp_path, line(row)) == []
    assert messages_of(row) == [USER, ASSISTANT]


def test_a_chat_rows_other_keys_stay_out_of_training(tmp_path: Path) -> None:
    row = {"messages": [USER, ASSISTANT], "answer": 5, "tools": [], "functions": None, "prompt": "x"}
    assert problems(tmp_path, line(row)) == []
    assert messages_of(row) == [USER, ASSISTANT]


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
    assert messages_of(row) == PAIR


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
    read = conversations(file)
    assert next(read) == (1, ([USER, ASSISTANT], None, None))
    assert [(line, conversation.messages) for line, conversation in read] == [(2, [ASSISTANT])]


def test_a_file_that_never_passed_validation_is_not_read_on_from_the_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_bytes(GOOD + b"{\n" + GOOD)
    read = conversations(file)
    next(read)
    with pytest.raises(Unreadable, match=r"^line 2: The line is not JSON"):
        next(read)


def test_developer_is_another_name_of_system(tmp_path: Path) -> None:
    row = {"messages": [message("developer", "Be brief."), USER, ASSISTANT]}
    assert problems(tmp_path, line(row)) == []
    assert messages_of(row) == [message("system", "Be brief."), USER, ASSISTANT]


class TestTools:
    ROW: dict[str, Any] = {  # noqa: RUF012
        "tools": [TOOL],
        "parallel_tool_calls": True,
        "messages": [
            USER,
            {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "2"}]},
            message("tool", "5", tool_call_id="2"),
            message("tool", "5", tool_call_id="1"),
            ASSISTANT,
        ],
    }

    def test_calls_and_answers_pass(self, tmp_path: Path) -> None:
        assert problems(tmp_path, line(self.ROW)) == []

    def test_a_row_may_end_with_a_call(self, tmp_path: Path) -> None:
        row = {**self.ROW, "messages": self.ROW["messages"][:2]}
        assert problems(tmp_path, line(row)) == []

    def test_templates_get_arguments_as_an_object_and_a_content(self) -> None:
        conversation = to_conversation(self.ROW)
        assert conversation.variables == {"tools": [TOOL], "parallel_tool_calls": True}
        turn = conversation.messages[1]
        assert turn["content"] == ""
        assert [call["function"]["arguments"] for call in turn["tool_calls"]] == [{"a": 2, "b": 3}] * 2

    def test_arguments_may_be_an_object_already(self, tmp_path: Path) -> None:
        call = {**CALL, "function": {"name": "add", "arguments": {"a": 2}}}
        row = {"messages": [USER, message("assistant", None, tool_calls=[call])]}
        assert problems(tmp_path, line(row)) == []
        assert messages_of(row)[1]["tool_calls"][0]["function"]["arguments"] == {"a": 2}

    def test_without_tools_a_template_is_told_nothing(self) -> None:
        assert to_conversation({"messages": [USER, ASSISTANT], "tools": []}).variables == {}


class TestPromptsOfMessages:
    @pytest.mark.parametrize(
        ("prompt", "completion"),
        [
            ([message("user", "2 + 3 = ?")], [message("assistant", "5")]),
            ("2 + 3 = ?", [message("assistant", "5")]),
            ([message("user", "2 + 3 = ?")], "5"),
        ],
    )
    def test_strings_and_lists_say_the_same(self, prompt: Any, completion: Any, tmp_path: Path) -> None:
        row = {"prompt": prompt, "completion": completion}
        assert problems(tmp_path, line(row)) == []
        assert messages_of(row) == PAIR

    def test_only_the_completion_is_learned(self, tmp_path: Path) -> None:
        row = {"prompt": [USER, ASSISTANT, USER], "completion": [ASSISTANT, USER, ASSISTANT]}
        assert problems(tmp_path, line(row)) == []
        assert messages_of(row) == [USER, {**ASSISTANT, "weight": 0}, USER, ASSISTANT, USER, ASSISTANT]


class TestAlpaca:
    @pytest.mark.parametrize(
        ("row", "asked"),
        [
            ({"instruction": "Add.", "input": "2 + 3", "output": "5"}, "Add.\n2 + 3"),
            ({"instruction": "Add.", "input": "", "output": "5"}, "Add."),
            ({"instruction": "Add.", "output": "5", "text": "Below is an instruction"}, "Add."),
            ({"instruction": "Add.", "input": None, "output": "5", "system": "", "history": []}, "Add."),
        ],
    )
    def test_the_input_stands_under_the_instruction(self, row: dict[str, Any], asked: str, tmp_path: Path) -> None:
        assert problems(tmp_path, line(row)) == []
        assert messages_of(row) == [message("user", asked), message("assistant", "5")]

    def test_a_system_text_comes_first(self, tmp_path: Path) -> None:
        row = {"system": "Be brief.", "instruction": "Add.", "output": "5"}
        assert problems(tmp_path, line(row)) == []
        assert messages_of(row)[0] == message("system", "Be brief.")


class TestShareGpt:
    def test_its_speakers_are_ours(self, tmp_path: Path) -> None:
        turns = [("system", "Be brief."), ("human", "a"), ("gpt", "b"), ("user", "c"), ("chatgpt", "d")]
        row = {"id": "x", "conversations": [{"from": speaker, "value": value} for speaker, value in turns]}
        assert problems(tmp_path, line(row)) == []
        roles = ["system", "user", "assistant", "user", "assistant"]
        assert messages_of(row) == [message(role, value) for role, (_, value) in zip(roles, turns, strict=True)]

    def test_a_system_text_beside_the_turns_comes_first(self, tmp_path: Path) -> None:
        row = {"system": "Be brief.", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
        assert problems(tmp_path, line(row)) == []
        assert messages_of(row)[0] == message("system", "Be brief.")

    def test_a_turn_may_weigh_nothing(self, tmp_path: Path) -> None:
        turns = [{"from": "gpt", "value": "4", "weight": 0}, {"from": "gpt", "value": "5", "weight": None}]
        assert problems(tmp_path, line({"conversations": turns})) == []
        assert messages_of({"conversations": turns}) == [message("assistant", "4", weight=0), ASSISTANT]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_quick_look_never_passes_what_a_closer_one_would_not(shape: str) -> None:
    values: list[Any] = ["x", "", " ", None, 5, [], [USER, ASSISTANT], [message("system", "x"), USER], [USER, {}], {}]
    values += [["x", "y"]]
    rest = {"rejected": "y"} if shape == "preference" else {}
    keys = sorted({*SHAPES[shape].keys, "input", "tools", "messages", "prompt"})
    looks = 0
    for first, second in product(keys, repeat=2):
        for a, b in product(values, repeat=2):
            row = {**rest, first: a, second: b}
            if SHAPES[shape].plain(row):
                looks += 1
                assert shape_of(row) == shape
                assert list(SHAPES[shape].check(row)) == []
    assert looks or shape == "sharegpt"


def test_a_row_of_no_shape_is_refused_by_its_keys() -> None:
    assert shape_of({"text": "x"}) is None
    with pytest.raises(ValueError, match=r"\['text'\].*chat, sharegpt, preference, ranking, prompt_completion, alpaca"):
        messages_of({"text": "x"})


def test_every_shape_claims_a_row_of_its_own_keys() -> None:
    for name, shape in SHAPES.items():
        for key in shape.keys:
            own = {"answer": "4"} if name == "prompts" else {}  # a prompt alone could be a mistake in SFT
            assert shape_of({key: [] if key == "messages" else None, **own}) == name
