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
