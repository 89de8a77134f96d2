"""Every problem that a dataset file can have: found, with its line and path, and never shown with what a row says."""

import json
from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats import jsonl
from fettle.datasets.formats.problem_codes import PROBLEMS
from fettle.datasets.formats.problems import quoted, step
from tests.fettle.datasets.formats import codes_page, comparisons
from tests.fettle.datasets.formats.given import ASSISTANT, GOOD, USER, chat, line, message, problems, report
from tests.fettle.datasets.formats.mistakes import (
    ALPACA,
    ASKED,
    CSV,
    FILES,
    LINES,
    PAIRS,
    PROMPTS,
    SAID,
    SECRET,
    SHAREGPT,
    calling,
    parquet,
)

PAIR = line({"prompt": "How much is 2 + 3?", "completion": "5"})


MANY = {
    "pairs": (PAIR, PAIRS),
    "prompts": (line({"prompt": "How much is 2 + 3?", "answer": 5}), PROMPTS),
    "alpaca": (line({"instruction": "How much is 2 + 3?", "input": "", "output": "5"}), ALPACA),
    "preferences": (comparisons.GOOD_PAIR, comparisons.PREFERENCES),
    "rankings": (comparisons.GOOD_RANKING, comparisons.RANKINGS),
    "sharegpt": (line({"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "5"}]}), SHAREGPT),
}


def flat(cases: dict[str, list[Any]]) -> list[Any]:
    return [pytest.param(code, case, id=f"{code}-{n}") for code, of in cases.items() for n, case in enumerate(of, 1)]


@pytest.mark.parametrize(("code", "content"), flat(FILES))
def test_what_is_not_jsonl_at_all_gives_one_problem_on_line_1(code: str, content: bytes, tmp_path: Path) -> None:
    assert problems(tmp_path, content) == [(1, "", code)]


@pytest.mark.parametrize(("code", "case"), flat(LINES))
def test_a_bad_row_names_its_line_and_path(code: str, case: tuple[bytes, list[str]], tmp_path: Path) -> None:
    content, paths = case
    found = problems(tmp_path, GOOD * 3 + content + GOOD)
    assert [path for number, path, found_code in found if (number, found_code) == (4, code)] == paths
    assert {number for number, _, _ in found} == {4}
    assert report(tmp_path, GOOD * 3 + content + GOOD).rows == 4


@pytest.mark.parametrize(
    ("good", "code", "case"), [(good, *param.values) for good, cases in MANY.values() for param in flat(cases)]
)
def test_a_bad_row_of_another_shape_names_its_line_and_path(
    good: bytes, code: str, case: tuple[bytes, list[str]], tmp_path: Path
) -> None:
    content, paths = case
    assert problems(tmp_path, good + content + good) == [(2, path, code) for path in paths]


@pytest.mark.parametrize(("code", "record"), CSV.items())
def test_a_bad_record_of_a_csv_file_names_its_line(code: str, record: bytes, tmp_path: Path) -> None:
    found = report(tmp_path, b"prompt,completion\na,b\n" + record + b"c,d\n")
    assert [(problem.line, problem.path, problem.code) for problem in found.errors] == [(3, "", code)]
    assert found.rows == (1 if code == "csv_unclosed_quote" else 2)
    assert SECRET not in found.summary()


def test_a_cell_that_should_hold_json_names_its_column(tmp_path: Path) -> None:
    table = f"messages,tools\n{SECRET},\n".encode()
    assert problems(tmp_path, table) == [(2, "messages", "cell_not_json")]
    twice = b'messages\n"[{""role"": ""user"", ""role"": ""x""}]"\n'
    assert (2, "messages[0].role", "duplicate_key") in problems(tmp_path, twice)


def test_a_row_group_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fettle.datasets.formats.parquet.MAX_GROUP", 100)
    found = report(tmp_path, parquet({"prompt": ["x" * 500], "completion": ["y"]}))
    assert [problem.code for problem in found.errors] == ["parquet_group_too_large"]
    assert "more than 100 bytes" in found.summary()


@pytest.mark.parametrize(("code", "case"), flat(LINES))
def test_a_bad_row_is_found_far_into_a_file(code: str, case: tuple[bytes, list[str]], tmp_path: Path) -> None:
    before = 5 * jsonl.BLOCK // len(GOOD)
    near = problems(tmp_path, GOOD + case[0] + GOOD)
    far = problems(tmp_path, GOOD * before + case[0] + GOOD * before)
    assert far == [(before + 1, path, found) for _, path, found in near]


@pytest.mark.parametrize(
    ("code", "content"),
    [
        *[(code, content) for code, contents in FILES.items() for content in contents],
        *[(code, GOOD + content + GOOD) for code, cases in LINES.items() for content, _ in cases],
        *[
            (code, good * 2 + content)
            for good, cases in MANY.values()
            for code, of in cases.items()
            for content, _ in of
        ],
        ("truncated_line", GOOD + chat(ASKED, SAID)[:-9]),
    ],
)
def test_no_problem_shows_what_a_row_says(code: str, content: bytes, tmp_path: Path) -> None:
    found = report(tmp_path, content)
    assert code in {problem.code for problem in found.errors}
    for word in SECRET.split():
        assert word not in json.dumps(found.to_json())


@pytest.mark.parametrize("kept", range(1, len(GOOD) - 1))
def test_a_last_line_cut_anywhere_is_truncated(kept: int, tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD + GOOD[:kept]) == [(2, "", "truncated_line")]


def test_a_last_line_cut_inside_a_character_is_truncated(tmp_path: Path) -> None:
    row = '{"prompt": "å", "completion": "é€'.encode()
    assert [problems(tmp_path, PAIR + row[: len(row) - cut])[0][2] for cut in range(5)] == ["truncated_line"] * 5


def test_a_last_line_that_is_whole_but_wrong_is_not_truncated(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD + GOOD[:-2] + b",}") == [(2, "", "invalid_json")]
    assert problems(tmp_path, GOOD + b'{"prompt": "\xe4", "completion": "x"}') == [(2, "", "not_utf8")]


def test_an_open_brace_alone_is_a_truncated_line(tmp_path: Path) -> None:
    assert problems(tmp_path, b"{") == [(1, "", "truncated_line")]


def test_one_mistake_in_a_message_is_one_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, chat(USER, calling({"id": "1"}))) == [
        (1, "messages[1].tool_calls[0]", "invalid_tool_call")
    ]
    bot = message("bot", "5", weight=1)
    assert problems(tmp_path, chat(USER, ASSISTANT, bot)) == [(1, "messages[2].role", "unrecognized_role")]


# in tests/fettle/datasets/test_bombs.py
BOMBS = {
    "csv_header_too_long",
    "csv_too_large",
    "parquet_too_many_rows",
    "parquet_too_large",
    "validation_too_slow",
    "validation_too_large",
}


def test_every_problem_has_a_test() -> None:
    elsewhere = {"truncated_line", "cell_not_json", "parquet_group_too_large"} | BOMBS
    compared = {*comparisons.PREFERENCES, *comparisons.RANKINGS}
    assert {*FILES, *LINES, *PAIRS, *PROMPTS, *ALPACA, *SHAREGPT, *CSV, *compared, *elsewhere} == set(PROBLEMS)


def test_every_problem_is_told_in_sentences_and_has_a_fix_of_its_own() -> None:
    for code, (sentence, fix) in PROBLEMS.items():
        assert sentence.endswith(".") and fix.endswith((".", ").")), code
        assert len(fix) > 10, code


def test_a_name_is_cut_at_40_characters_and_escaped() -> None:
    assert quoted("x" * 40) == f"'{'x' * 40}'"
    assert quoted("x" * 41) == f"'{'x' * 40}…'"
    assert quoted("a\0\n\ud800\u202e") == r"'a\x00\n\ud800\u202e'"


def test_a_key_that_is_no_word_is_quoted_in_a_path() -> None:
    assert [step(key) for key in ("role", "my key", "0", "a.b", "")] == [
        ".role",
        "['my key']",
        "['0']",
        "['a.b']",
        "['']",
    ]


def test_the_page_lists_every_code() -> None:
    page = codes_page.PAGE.read_text()
    assert page == codes_page.with_codes(page), "run: python -m tests.fettle.datasets.formats.codes_page"
