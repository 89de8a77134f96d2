from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fettle.datasets.formats import tools
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
            value = [{"role": "user"}] if key == "messages" else "x"
            if name == "chat":
                value = [{"role": "assistant"}]
            other = {"completion": "x"} if name == "prompt_completion" else {}
            assert shape_of({key: value, **other}) == name


def test_a_key_with_null_is_no_shape_where_another_key_is_one() -> None:
    nothing = {"messages": None, "chosen": None, "rejected": None, "instruction": None, "output": None}
    assert shape_of({"prompt": "x", "completion": "y", **nothing}) == "prompt_completion"
    assert shape_of({"prompt": "x", "completion": "y", "chosen": "a", "rejected": "b"}) == "preference"
    assert shape_of({"prompt": None, "completion": None}) == "prompt_completion"


def test_text_parts_are_one_text() -> None:
    parts = [{"type": "text", "text": "How much "}, {"type": "text", "text": "is 2 + 3?"}]
    row = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": parts[:1], "weight": 1}]}
    assert list(SHAPES["chat"].check(row)) == []
    assert [turn["content"] for turn in to_conversation(row).messages] == ["How much is 2 + 3?", "How much "]
    rows: list[dict[str, Any]] = [
        {"prompt": row["messages"][:1], "completion": row["messages"][1:]},
        {
            "input": {"messages": row["messages"][:1]},
            "preferred_output": row["messages"][1:],
            "non_preferred_output": [{"role": "assistant", "content": "x"}],
        },
        {"messages": row["messages"][:1], "answer": "5"},
    ]
    for each in rows:
        assert list(SHAPES[str(shape_of(each))].check(each)) == []
        assert to_conversation(each).messages[0]["content"] == "How much is 2 + 3?"


@pytest.mark.parametrize("content", [[], [{"type": "text", "text": " "}], [{"type": "text"}]])
def test_parts_without_text_are_an_empty_answer(content: list[Any]) -> None:
    row = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": content}]}
    assert "empty_content" in [found.code for found in SHAPES["chat"].check(row)]


class TestNullInTools:
    TOOL: ClassVar[Any] = {
        "type": "function",
        "function": {
            "name": "f",
            "description": None,
            "parameters": {"properties": {"a": {"enum": ["x", None], "minimum": None}, "b": None}},
        },
    }
    WITHOUT: ClassVar[Any] = {
        "type": "function",
        "function": {"name": "f", "parameters": {"properties": {"a": {"enum": ["x", None]}}}},
    }

    @pytest.mark.parametrize(
        "row",
        [
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
            {"messages": [{"role": "user", "content": "x"}], "answer": "y"},
            {"prompt": "x", "ranked": ["y", "z"]},
            {"prompt": "x", "chosen": "y", "rejected": "z"},
        ],
    )
    def test_keys_that_only_other_rows_have_are_left_out(self, row: dict[str, Any]) -> None:
        assert to_conversation({**row, "tools": [self.TOOL]}).tools == [self.WITHOUT]

    def test_arguments_lose_nulls_only_where_they_are_an_object(self) -> None:
        def told(arguments: Any) -> Any:
            call = {"id": "1", "type": None, "function": {"name": "f", "arguments": arguments}}
            turn = {"role": "assistant", "content": None, "tool_calls": [call]}
            found = to_conversation({"messages": [{"role": "user", "content": "x"}, turn]})
            return found.messages[1]["tool_calls"][0]["function"]["arguments"]

        assert told({"a": 1, "b": None}) == {"a": 1}
        assert told('{"a": 1, "b": null}') == {"a": 1, "b": None}


@pytest.mark.parametrize(
    ("row", "needed"),
    [
        ({"input": {"messages": [], "tools": [1]}, "preferred_output": []}, {"tools"}),
        ({"prompt": "x", "chosen": [{"role": "assistant", "tool_calls": [1]}], "rejected": "y"}, {"tool_calls"}),
        ({"prompt": [{"role": "tool"}], "ranked": ["x"]}, {"tool_calls"}),
        ({"prompt": "x", "ranked": [["a"], [{"role": "assistant", "tool_calls": [1]}]]}, {"tool_calls"}),
        ({"messages": [{"role": "tool"}], "tools": [1], "answer": [{"role": "tool"}]}, {"tools", "tool_calls"}),
        ({"prompt": "x", "answer": [{"role": "tool"}]}, set()),
    ],
)
def test_what_a_template_must_know_is_found_in_every_shape(row: dict[str, Any], needed: set[str]) -> None:
    assert tools.needs(row) == needed
