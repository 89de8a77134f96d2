"""How good a dataset is for training: what stands out, with its lines, and bounds on the look."""

import io
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats import parallel, quality, reading, sensitive
from tests.fettle.datasets.formats.given import MAX_ROW_BYTES, line, report

Rows = list[dict[str, Any]]
GOOD: Rows = [{"prompt": f"How much is {n} + 1?", "completion": f"It is {n + 1}."} for n in range(10)]


def look(rows: Rows) -> quality.Quality:
    return quality.of(io.BytesIO(b"".join(map(line, rows))), MAX_ROW_BYTES)


def found(rows: Rows) -> dict[str, list[int]]:
    return {each.code: each.lines for each in look(rows).findings}


def chat(*turns: str) -> dict[str, Any]:
    roles = ("user", "assistant") * len(turns)
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]}


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def test_nothing_stands_out_of_good_rows() -> None:
    seen = look(GOOD)
    assert (seen.rows, seen.complete, seen.findings, seen.labels, seen.reasoning) == (10, True, [], None, 0.0)
    length = len("How much is 0 + 1?") + 1 + len("It is 1.")
    assert seen.characters == {"min": length, "median": length, "max": length + 1}


@pytest.mark.parametrize(
    ("rows", "findings"),
    [
        ([{"prompt": " How much is 3 + 1? ", "completion": "It  is 4."}], {"duplicate_rows": [11]}),
        ([chat("a", "b"), chat("a", "b"), chat("a", "b", "a", "b")], {"duplicate_rows": [12]}),
        ([{"prompt": "How much is 3 + 1?", "completion": "It is 5."}], {"conflicting_answers": [11]}),
        ([pair("a", "b", "c"), pair("a", "c", "b"), pair("a", "b", "d")], {"conflicting_answers": [12]}),
        ([{"prompt": "Why?", "completion": "N/A."}], {"empty_answers": [11]}),
        ([{"prompt": "Who?", "completion": "Dear {{name}}, hello"}], {"empty_answers": [11]}),
        ([{"prompt": "Why? " * 70, "completion": "So."}], {"long_rows": [11]}),
        ([{"prompt": "x", "completion": "Write to ann@uni.org"}], {"personal_data": [11]}),
        ([{"prompt": "x", "completion": "AKIA" + "Q7" * 8}], {"likely_secrets": [11]}),
        ([{"prompt": "x", "completion": "<think>1 + 1</think> 2"}], {"mixed_reasoning": []}),
    ],
)
def test_what_stands_out_is_told_with_its_lines(rows: Rows, findings: dict[str, list[int]]) -> None:
    assert found(GOOD + rows) == findings


def test_prompts_without_answers_have_duplicates_and_no_conflicts() -> None:
    assert found([{"prompt": "a", "answer": "1"}, {"prompt": "a", "answer": "2"}]) == {"duplicate_rows": [2]}


def test_answers_that_are_few_and_repeated_are_labels_with_their_balance() -> None:
    rows = [{"prompt": f"review {n}", "completion": "bad" if n % 20 == 0 else "good"} for n in range(100)]
    seen = look(rows)
    assert seen.labels == {"count": 2, "largest": 0.95, "smallest": 0.05}
    assert [each.code for each in seen.findings] == ["labels_unbalanced"]
    fair = look([{**row, "completion": "bad" if n % 2 else "good"} for n, row in enumerate(rows)])
    assert (fair.labels, fair.findings) == ({"count": 2, "largest": 0.5, "smallest": 0.5}, [])


def test_one_answer_to_many_prompts_is_told_with_its_rows() -> None:
    rows = [{"prompt": f"q{n}", "completion": "Please contact support." if n < 9 else f"a{n}"} for n in range(60)]
    (told,) = look(rows).findings
    assert (told.code, told.rows) == ("same_answer", 9)
    assert look([{**row, "completion": f"a{n % 30}"} for n, row in enumerate(rows)]).findings == []


def test_the_share_of_answers_with_reasoning() -> None:
    rows = [{"prompt": f"q{n}", "completion": f"<think>{n}</think> {n}" if n < 3 else f"{n}"} for n in range(12)]
    assert look(rows).reasoning == 0.25


@pytest.mark.parametrize(
    "text",
    [
        *("ghp_" + "a1B2" * 9, "sk-proj-" + "abCD12_-" * 5, "hf_" + "aB3" * 10, "-----BEGIN RSA PRIVATE KEY-----"),
        *("xoxb-1234567890-abc", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJlMTI", "AIza" + "x9_-a" * 7),
        "postgresql://admin:s3cret!@db.internal:5432/app",
    ],
)
def test_secrets_by_their_form(text: str) -> None:
    assert list(sensitive.kinds(f"Use {text} for it.")) == ["likely_secrets"]


@pytest.mark.parametrize(
    "text",
    [
        *("ann.lee+x@mail.uni-x.org", "+49 30 1234 5678", "(555) 010-1234", "078-05-1120"),
        *("4111 1111 1111 1111", "5555-5555-5555-4444", "GB82 WEST 1234 5698 7654 32", "DE89370400440532013000"),
    ],
)
def test_personal_data_by_its_form_and_check_digits(text: str) -> None:
    assert list(sensitive.kinds(f"It is {text} now.")) == ["personal_data"]


@pytest.mark.parametrize(
    "text",
    [
        *("4111 1111 1111 1112", "GB82 WEST 1234 5698 7654 33", "ann@example.com", "2 + 2 = 4", "@decorator", "1-2-3"),
        *("3.14159265358979323846", "https://host.org/a:b", "sk-learn and risk-averse", "2026-11-29 12:00:00.000000"),
        *("https://host/?page=10000000000", "0000-0000-0000-0000"),
    ],
)
def test_what_only_looks_alike_is_not_told(text: str) -> None:
    assert list(sensitive.kinds(f"It is {text} now.")) == []


def test_lines_are_bounded_and_rows_are_counted() -> None:
    (told,) = look(GOOD[:1] * 100).findings
    assert (told.code, told.rows, told.lines) == ("duplicate_rows", 99, list(range(2, 22)))


def test_the_look_ends_with_its_time_and_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO(b"".join(map(line, GOOD)))
    ticks = count()
    monkeypatch.setattr(quality, "SECONDS", 3)
    seen = quality.of(file, MAX_ROW_BYTES, clock=lambda: next(ticks))
    assert (seen.rows, seen.complete) == (4, False)
    monkeypatch.setattr(quality, "ROWS", 6)
    seen = quality.of(file, MAX_ROW_BYTES, clock=lambda: 0)
    assert (seen.rows, seen.complete) == (6, False)


def test_the_report_of_a_file_without_errors_has_it(tmp_path: Path) -> None:
    content = b"".join(map(line, GOOD + GOOD[:1]))
    seen = report(tmp_path, content).quality
    assert seen is not None and [each.code for each in seen.findings] == ["duplicate_rows"]
    with (tmp_path / "data.jsonl").open("rb") as file:
        assert parallel.check_on(2, file, MAX_ROW_BYTES).quality == seen
    assert report(tmp_path, content + b"{}\n").quality is None


def test_no_finding_shows_what_a_row_says() -> None:
    rows = [*GOOD, *GOOD, {"prompt": "zebra", "completion": "quagga@zoo.org"}, {"prompt": "zebra", "completion": "tbd"}]
    assert "zebra" not in look(rows).model_dump_json() and "quagga" not in look(rows).model_dump_json()


def test_prompts_that_both_files_have_are_told_with_the_validations_lines(tmp_path: Path) -> None:
    train, valid = tmp_path / "train.jsonl", tmp_path / "valid.jsonl"
    train.write_bytes(b"".join(map(line, GOOD)))
    valid.write_bytes(b"".join(map(line, [chat("What is new?", "It."), chat(" How much is 2 + 1?", "It is 3.")])))
    told = quality.overlap(reading.rows(train), reading.rows(valid))
    assert told is not None and (told.code, told.rows, told.lines) == ("known_in_training", 1, [2])
    assert quality.overlap(reading.rows(train), iter([])) is None
