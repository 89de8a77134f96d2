"""Tokens counted in the first rows, compared with what the preview shows."""

import json
from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats import preview, token_sample
from fettle.datasets.formats.token_sample import Use
from fettle.registry.catalog import STARTER


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def look(path: Path, use: Use, max_seq_length: int = 2048) -> dict[str, Any]:
    return token_sample.look(path, STARTER, use=use, max_seq_length=max_seq_length, whole=True)


TEXTS = [{"prompt": f"{n} + 1 =", "completion": str(n + 1)} for n in range(5)]
PAIRS = [{"prompt": f"row {n // 2}", "chosen": "good", "rejected": "bad"} for n in range(4)]


def test_texts_have_the_tokens_that_the_preview_shows(tmp_path: Path) -> None:
    path = write(tmp_path / "f", TEXTS)
    seen = preview.look(path, STARTER, limit=5, max_seq_length=None, whole=True)["summary"]
    found = look(path, "text")
    assert (found["rows"], found["items"], found["tokens"]) == (5, 5, seen["tokens"])
    assert (found["longest"], found["whole"], found["too_long"]) == (seen["row_tokens"]["max"], True, 0)


def test_a_pair_counts_both_responses_and_a_prompt_once(tmp_path: Path) -> None:
    found = look(write(tmp_path / "f", PAIRS), "pairs")
    chosen = [{"prompt": row["prompt"], "completion": "good"} for row in PAIRS]
    rejected = [{"prompt": row["prompt"], "completion": "bad"} for row in PAIRS]
    both = sum(look(write(tmp_path / "g", each), "text")["tokens"] for each in (chosen, rejected))
    assert (found["rows"], found["items"], found["prompts"], found["tokens"]) == (4, 4, 2, both)


def test_prompts_are_counted_without_their_completions(tmp_path: Path) -> None:
    found = look(write(tmp_path / "f", TEXTS), "prompts")
    assert (found["prompts"], found["items"], found["tokens"]) == (5, 0, 0)
    assert 0 < found["prompt_tokens"] < look(tmp_path / "f", "text")["tokens"]


def test_rows_that_are_too_long_are_counted_and_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "f", [*TEXTS, {"prompt": "one " * 100, "completion": "1"}])
    found = look(path, "text", max_seq_length=64)
    assert (found["rows"], found["items"], found["too_long"]) == (6, 5, 1)
    assert found["longest"] > 100


def test_a_large_file_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_sample, "MAX_ROWS", 3)
    found = look(write(tmp_path / "f", TEXTS), "text")
    assert (found["rows"], found["whole"]) == (3, False)
    monkeypatch.setattr(token_sample, "MAX_TOKENS", 1)
    assert look(tmp_path / "f", "text")["rows"] == 1
