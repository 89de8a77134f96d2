"""Notes: what is no error, but may not be what the owner of a file meant."""

from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats import aliases
from tests.fettle.datasets.formats.given import ASSISTANT, GOOD, USER, chat, line, message, report

PAGE = "<p><think>2 + 3 is 5.</think></p> <p><answer>5</answer></p>"


def noted(folder: Path, content: bytes) -> list[tuple[int, str]]:
    found = report(folder, content)
    assert found.ok, found.summary()
    return [(note.line, note.code) for note in found.notes]


@pytest.mark.parametrize("key", ["response", "answer", "Output", "réponse", "답변"])
def test_an_answer_that_only_graders_see_is_noted_with_the_key_to_rename(key: str, tmp_path: Path) -> None:
    (note,) = report(tmp_path, line({"prompt": "2 + 3?", key: "5"}) * 10).notes
    assert (note.line, note.code) == (1, "answer_is_an_item")
    assert repr(key) in note.message and note.fix == f"To train on it, rename {key!r} to 'completion'."


@pytest.mark.parametrize(
    "row", [{"prompt": "x"}, {"prompt": "x", "answer": 5}, {"prompt": "x", "completion": "y", "answer": "z"}]
)
def test_a_row_without_another_answer_has_no_note(row: dict[str, Any], tmp_path: Path) -> None:
    assert noted(tmp_path, line(row) * 10) == []


@pytest.mark.parametrize(
    "text",
    [
        *(PAGE, "  <div class='a'>\n<b>5</b>\n</div>\n", "&lt;think&gt;x&lt;/think&gt; 5", "<P>5</P>", "a<br/>b"),
        *("<think>2 + 3</think>\n<p>5</p>", "it&#39;s&nbsp;5", "&lt;reasoning&gt;x", "\\u003cthink\\u003ex"),
    ],
)
def test_text_in_html_is_noted_with_the_line_of_its_first_row(text: str, tmp_path: Path) -> None:
    rows = GOOD + chat(USER, message("assistant", text)) * 3
    assert noted(tmp_path, rows) == [(2, "text_in_html")]
    assert "3 rows" in report(tmp_path, rows).notes[0].message
    assert noted(tmp_path, line({"prompt": "x", "completion": text})) == [(1, "text_in_html")]


@pytest.mark.parametrize("text", ["<think>x</think> <answer>5</answer>", "a < b and c > d", "Use <p>…</p> here."])
def test_tags_that_are_no_wrapping_are_not_noted(text: str, tmp_path: Path) -> None:
    assert noted(tmp_path, chat(USER, message("assistant", text))) == []


def test_names_that_a_template_may_drop_are_noted(tmp_path: Path) -> None:
    assert noted(tmp_path, GOOD + chat({**USER, "name": "ann"}, ASSISTANT)) == [(2, "names_in_messages")]
    assert noted(tmp_path, chat({**USER, "name": None}, ASSISTANT)) == []


@pytest.mark.parametrize("key", ["system", "System Prompt", "thinking", "history"])
def test_a_key_that_the_model_will_not_see_is_noted(key: str, tmp_path: Path) -> None:
    row = {"prompt": "x", "completion": "y"}
    (note,) = report(tmp_path, line({**row, key: "Be short."}) * 3).notes
    assert (note.line, note.code) == (1, "keys_not_used") and repr(key) in note.message
    assert noted(tmp_path, line({**row, key: ""})) == []
    assert noted(tmp_path, line({"prompt": "x", key: "for a grader"})) == []


def test_alpacas_system_is_used(tmp_path: Path) -> None:
    assert noted(tmp_path, line({"instruction": "x", "output": "y", "system": "Be short."})) == []


def test_a_file_with_errors_has_no_notes(tmp_path: Path) -> None:
    assert report(tmp_path, chat({**USER, "name": "ann"}, ASSISTANT) + b"{}\n").notes == []


@pytest.mark.parametrize(
    ("names", "renames"),
    [
        (["instruction_id", "Question", "Answer"], {"Question": "prompt", "Answer": "completion"}),
        (["prompt", "response"], {"response": "completion"}),
        (["Messages"], {"Messages": "messages"}),
        (["dialog"], {"dialog": "messages"}),
        (["query", "accepted", "Rejected"], {"query": "prompt", "accepted": "chosen", "Rejected": "rejected"}),
        (["question"], {"question": "prompt"}),
        (["prompts", "Completions"], {"prompts": "prompt", "Completions": "completion"}),
        (["User message", "assistant-message"], {"User message": "prompt", "assistant-message": "completion"}),
        (["question", "re\u0301ponse"], {"question": "prompt", "re\u0301ponse": "completion"}),
        (["Anweisung", "Eingabe", "Ausgabe"], {"Anweisung": "instruction", "Eingabe": "input", "Ausgabe": "output"}),
        (["text", "label_id"], {}),
        ([], {}),
    ],
)
def test_what_to_rename_is_one_table(names: list[str], renames: dict[str, str]) -> None:
    assert aliases.renames(names) == renames


def test_no_name_stands_for_two_keys_of_one_shape() -> None:
    for keys in aliases.TOGETHER:
        names = [name for key in keys for name in (key, *aliases.ALIASES.get(key, ()))]
        assert len(names) == len(set(names))
        assert [name for name in names if name != aliases.normal(name)] == []


def test_the_advice_is_a_sentence() -> None:
    assert aliases.advice(["q", "question", "answer"]) == "Rename 'question' to 'prompt' and 'answer' to 'completion'. "
    assert aliases.advice(["q"]) == ""


def test_keys_without_a_shape_are_told_what_to_rename(tmp_path: Path) -> None:
    (found,) = report(tmp_path, line({"question": "x", "answer": "y"})).errors
    assert found.code == "missing_messages_list"
    assert found.fix.startswith("Rename 'question' to 'prompt' and 'answer' to 'completion'. Write")
