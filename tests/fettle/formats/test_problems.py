"""Every problem that a dataset file can have: found, with its line and path, and never shown with what a row says."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fettle.formats import jsonl
from fettle.formats.problems import PROBLEMS, quoted, step
from tests.fettle.formats.given import ASSISTANT, GOOD, MAX_ROW_BYTES, USER, chat, line, message, problems, report

SECRET = "zebra quagga 4711"  # content that no report may show
ASKED, SAID = message("user", SECRET), message("assistant", SECRET)
DEEP = b"[" * 300 + b"]" * 300


def zipped() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.jsonl", SECRET)
    return archive.getvalue()


# Of the whole file: code → the file.
FILES: dict[str, list[bytes]] = {
    "empty_file": [b"", b"\n", b" \r\n\n"],
    "gzip_file": [gzip.compress(GOOD)],
    "zip_file": [zipped()],
    "zstd_file": [bytes.fromhex("28b52ffd0458690000") + GOOD],
    "parquet_file": [b"PAR1\x15\x04\x15" + GOOD],
    "utf16_file": [GOOD.decode().encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-16-be")],
    "csv_file": [
        f"prompt,completion\nx,{SECRET}\n".encode(),
        f'\ufeff"Prompt";"Completion"\r\n"x";"{SECRET}"\r\n'.encode(),
        f"prompt\tcompletion\nx\t{SECRET}\n".encode(),
    ],
    "json_array": [
        json.dumps([{"prompt": SECRET, "completion": "x"}]).encode(),
        b"\n" + json.dumps([{"prompt": SECRET, "completion": "x"}] * 200, indent=2).encode(),
    ],
    "pretty_printed_json": [
        json.dumps({"prompt": SECRET, "completion": "x"}, indent=2).encode(),
        b"\r\n{\r\n" + f'"prompt": "{SECRET}"'.encode() + b"}",
    ],
}

# Of one line: code → the line and the paths that are reported with this code.
LINES: dict[str, list[tuple[bytes, list[str]]]] = {
    "line_too_long": [(chat(ASKED, message("assistant", "x" * MAX_ROW_BYTES)), [""])],
    "blank_line": [(b"\n", [""]), (b" \t\r\n", [""])],
    "bom": [(b"\xef\xbb\xbf" + chat(ASKED, SAID), [""])],
    "nul": [
        (chat(ASKED, SAID).replace(b"zebra", b"ze\0ra"), [""]),
        (chat(ASKED, message("assistant", SECRET + "\0")), ["messages[1].content"]),
        (line({"prompt": SECRET, "completion": "x", "notes": [{"a\0": 1}]}), ["notes[0]['a\\x00']"]),
        (b"\0" * 20 + b"\n", [""]),
    ],
    "not_utf8": [(chat(ASKED, SAID).replace(b"zebra", b"z\xe4bra"), [""]), (b'{"prompt": "\xed\xa0\x80"}\n', [""])],
    "invalid_json": [
        (str({"prompt": SECRET, "completion": "x"}).encode() + b"\n", [""]),
        (chat(ASKED, SAID)[:-1] + b",\n", [""]),
        (chat(ASKED, SAID)[:-1] + chat(ASKED, SAID), [""]),
        (b'{"prompt": "x", "completion": "\\x41"}\n', [""]),
        (b'{"prompt": "x", "completion": "a\tb"}\n', [""]),
        (b'{"prompt": "x", "completion": "y",}\n', [""]),
        (b'{"prompt": "x", \n', [""]),
        (SECRET.encode() + b"\n", [""]),
        (b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD, [""]),
    ],
    "nan_or_infinity": [
        (chat(ASKED, SAID, score=float("nan")), ["score"]),
        (chat(ASKED, SAID, score=[1, {"of": float("-inf")}]), ["score[1].of"]),
        (chat(ASKED, SAID).replace(b'{"messages"', b'{"score": 1e400, "messages"'), ["score"]),
        (chat(ASKED, SAID).replace(b'{"messages"', b'{"score": ' + b"9" * 5000 + b', "messages"'), ["score"]),
    ],
    "lone_surrogate": [
        (chat(ASKED, message("assistant", SECRET + "\ud83d")), ["messages[1].content"]),
        (chat(ASKED, SAID, x={"\udc00": 1}), ["x['\\udc00']"]),
    ],
    "duplicate_key": [
        (b'{"prompt": "a", "completion": "b", "prompt": "c"}\n', ["prompt"]),
        (b'{"prompt":"a","completion":"b","\\u0070rompt":"c"}\n', ["prompt"]),
        (chat(ASKED, SAID).replace(b'"role"', b'"role": "user", "role"'), ["messages[0].role", "messages[1].role"]),
        (b'{"prompt": "a", "completion": "b", "x": [{"y": {"k": 1, "k": 1, "k": 1}}]}\n', ["x[0].y.k"]),
    ],
    "too_deep": [
        (b'{"prompt": "a", "completion": "b", "x": ' + DEEP + b"}\n", [""]),
        (b'{"x": ' + b"[" * 4000 + b"]" * 4000 + b"}\n", [""]),
        (b"[" * 4000 + b"\n", [""]),
    ],
    "row_not_object": [
        (line(SECRET), [""]),
        (b"42\n", [""]),
        (b"null\n", [""]),
        (b"true\n", [""]),
        (line([USER, ASSISTANT]), [""]),
    ],
    "missing_messages_list": [(line({"text": SECRET}), [""]), (b"{}\n", [""])],
    "messages_not_list": [(line({"messages": SECRET}), ["messages"]), (line({"messages": None}), ["messages"])],
    "empty_messages_list": [(chat(), ["messages"])],
    "tools_unsupported": [
        (chat(ASKED, SAID, tools=[{"type": "function"}]), ["tools"]),
        (chat(ASKED, SAID, functions=[{"name": "f"}]), ["functions"]),
        (
            chat(ASKED, message("tool", SECRET, tool_call_id="1"), SAID),
            ["messages[1].tool_call_id", "messages[1].role"],
        ),
        (chat(ASKED, message("function", SECRET, name="f"), SAID), ["messages[1].role"]),
        (chat(ASKED, message("assistant", None, tool_calls=[{"id": "1"}])), ["messages[1].tool_calls"]),
        (chat(ASKED, message("assistant", None, function_call={"name": "f"})), ["messages[1].function_call"]),
    ],
    "message_not_object": [(chat(ASKED, SECRET, SAID), ["messages[1]"]), (chat(None, ASKED, SAID), ["messages[0]"])],
    "message_missing_key": [
        (chat({"content": SECRET}, SAID), ["messages[0].role"]),
        (chat(message(None, SECRET), SAID), ["messages[0].role"]),
    ],
    "message_unrecognized_key": [(chat({**ASKED, "from": SECRET}, SAID), ["messages[0].from"])],
    "unrecognized_role": [
        (chat(message("human", SECRET), SAID), ["messages[0].role"]),
        (chat(message("developer", SECRET), ASKED, SAID), ["messages[0].role"]),
        (chat(message("User", SECRET), message("", SECRET), SAID), ["messages[0].role", "messages[1].role"]),
    ],
    "role_not_string": [(chat(message(["user"], SECRET), SAID), ["messages[0].role"])],
    "system_not_first": [
        (chat(ASKED, message("system", SECRET), SAID), ["messages[1].role"]),
        (chat(message("system", SECRET), message("system", "x"), SAID), ["messages[1].role"]),
    ],
    "missing_content": [
        (chat({"role": "user"}, SAID), ["messages[0].content"]),
        (chat(ASKED, message("assistant", None)), ["messages[1].content"]),
    ],
    "content_not_string": [
        (chat(message("user", [{"type": "text", "text": SECRET}]), SAID), ["messages[0].content"]),
        (chat(ASKED, message("assistant", 5)), ["messages[1].content"]),
    ],
    "empty_content": [
        (chat(ASKED, message("assistant", "")), ["messages[1].content"]),
        (chat(ASKED, message("assistant", " \n\u3000")), ["messages[1].content"]),
    ],
    "name_not_string": [(chat(message("user", SECRET, name=7), SAID), ["messages[0].name"])],
    "invalid_weight": [
        (chat(ASKED, message("assistant", SECRET, weight=weight)), ["messages[1].weight"])
        for weight in (2, -1, 0.5, "1", True, [1])
    ],
    "weight_not_assistant": [(chat(message("user", SECRET, weight=0), SAID), ["messages[0].weight"])],
    "example_missing_assistant_message": [(chat(ASKED), ["messages"])],
    "last_message_not_assistant": [
        (chat(ASKED, SAID, ASKED), ["messages[2].role"]),
        (chat(ASKED, SAID, {"role": "user"}), ["messages[2].role"]),
    ],
    "all_weights_zero": [
        (chat(ASKED, message("assistant", SECRET, weight=0), ASKED, message("assistant", "x", weight=0)), ["messages"])
    ],
    "mixed_shapes": [(line({"prompt": SECRET, "completion": "x"}), [""])],
}

# Of one line in a file of prompts and completions.
PAIRS: dict[str, list[tuple[bytes, list[str]]]] = {
    "missing_text": [
        (line({"prompt": SECRET}), ["completion"]),
        (line({"completion": SECRET}), ["prompt"]),
        (line({"Prompt": SECRET, "Completion": None}), ["Completion"]),
    ],
    "text_not_string": [
        (line({"prompt": [ASKED], "completion": SECRET}), ["prompt"]),
        (line({"prompt": SECRET, "completion": 72}), ["completion"]),
    ],
    "empty_text": [
        (line({"prompt": "", "completion": " \n"}), ["prompt", "completion"]),
        (line({"Prompt": "", "Completion": SECRET}), ["Prompt"]),
    ],
    "mixed_shapes": [(chat(ASKED, SAID), [""])],
}
PAIR = line({"prompt": "How much is 2 + 3?", "completion": "5"})


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


@pytest.mark.parametrize(("code", "case"), flat(PAIRS))
def test_a_bad_pair_names_its_line_and_path(code: str, case: tuple[bytes, list[str]], tmp_path: Path) -> None:
    content, paths = case
    assert problems(tmp_path, PAIR + content + PAIR) == [(2, path, code) for path in paths]


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
        *[(code, PAIR + content) for code, cases in PAIRS.items() for content, _ in cases],
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
    call = message("assistant", None, tool_calls=[{"id": "1"}])
    assert problems(tmp_path, chat(USER, call)) == [(1, "messages[1].tool_calls", "tools_unsupported")]
    bot = message("bot", "5", weight=1)
    assert problems(tmp_path, chat(USER, ASSISTANT, bot)) == [(1, "messages[2].role", "unrecognized_role")]


def test_every_problem_has_a_test() -> None:
    assert {*FILES, *LINES, *PAIRS, "truncated_line"} == set(PROBLEMS)


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
