"""Rows that come twice, and prompts that a training file shares with its validation file."""

import json
from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats import repeats


def row(prompt: str, completion: str) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion}


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    (folder / name).write_text("\n".join(map(json.dumps, rows)))
    return folder / name


def test_whole_rows_and_prompts_are_counted_apart(tmp_path: Path) -> None:
    rows = [row("a", "1"), row("b", "1"), row("a", "2"), {"completion": "1", "prompt": "a"}, row("a", "1")]
    found = repeats.look(written(tmp_path, "rows", rows), whole=True)
    assert (found["rows"], found["duplicate_rows"], found["repeated_prompts"]) == (5, 2, 1)
    assert found["examples"] == [{"line": 4, "of": 1}, {"line": 5, "of": 1}]
    assert found["complete"] is True
    assert found["overlap"] is None


def test_prompts_of_another_file_are_found_whatever_their_shape_and_answer(tmp_path: Path) -> None:
    training = written(tmp_path, "training", [row("a", "1"), row("b", "2"), row("c", "3")])
    chat = [{"role": "user", "content": "b"}, {"role": "assistant", "content": "another"}]
    validation = written(
        tmp_path, "validation", [{"messages": [{"role": "user", "content": "z"}, chat[1]]}, {"messages": chat}]
    )
    found = repeats.look(validation, whole=True, other=training, other_whole=True)["overlap"]
    assert (found["rows"], found["shared_rows"], found["complete"]) == (3, 1, True)
    assert found["examples"] == [{"line": 2, "other_line": 2}]


def test_what_was_not_looked_at_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MAX_ROWS", 2)
    path = written(tmp_path, "rows", [row("a", "1")] * 3)
    found = repeats.look(path, whole=True)
    assert (found["rows"], found["complete"]) == (2, False)
    assert repeats.look(written(tmp_path, "two", [row("a", "1")] * 2), whole=False)["complete"] is False


STORY = (
    "The quick brown fox jumps over the lazy dog and then it runs home through the wet green forest at night while "
    "the moon looks down"
)


def test_rows_that_differ_in_case_punctuation_or_a_word_are_near(tmp_path: Path) -> None:
    rows = [
        row("Where is my parcel?", "It is on its way."),
        row("What does the fox do?", STORY),
        row("where is my parcel", "It is on its way!"),
        row("What does the fox do?", STORY.replace("lazy", "sleepy")),
        row("What does the dog do?", "It sleeps."),
    ]
    found = repeats.look(written(tmp_path, "rows", rows), whole=True)
    assert (found["duplicate_rows"], found["near"]["near_duplicate_rows"], found["near"]["rows"]) == (0, 2, 5)
    one, two = found["near"]["examples"]
    assert (one["line"], one["of"], one["similarity"]) == (3, 1, 1.0)
    # 31 words have 29 runs of three, and 3 of them have "lazy": 26 are common of 32
    assert (two["line"], two["of"], two["similarity"]) == (4, 2, 0.81)


def test_rows_of_a_template_are_not_near(tmp_path: Path) -> None:
    rows = [row(f"Tom has {n} cards and buys {n + 1} more. How many has he?", str(2 * n + 1)) for n in range(50)]
    assert repeats.look(written(tmp_path, "rows", rows), whole=True)["near"]["near_duplicate_rows"] == 0


def test_rows_that_are_all_alike_have_the_first_as_their_like(tmp_path: Path) -> None:
    rows = [row(f"{STORY} {'!' * n}", "ok") for n in range(1, 300)]
    near = repeats.look(written(tmp_path, "rows", rows), whole=True)["near"]
    assert near["near_duplicate_rows"] == 298
    assert {example["of"] for example in near["examples"]} == {1}


def test_a_same_row_is_not_counted_as_a_near_one(tmp_path: Path) -> None:
    assert repeats.look(written(tmp_path, "rows", [row("a b c", "1")] * 2), whole=True)["near"] == {
        "rows": 1,
        "near_duplicate_rows": 0,
        "examples": [],
    }


def test_rows_of_symbols_alone_are_not_near(tmp_path: Path) -> None:
    near = repeats.look(written(tmp_path, "rows", [row("🙂", "🔥"), row("+", "-")]), whole=True)["near"]
    assert near["near_duplicate_rows"] == 0
