import json
import tracemalloc
from pathlib import Path

from fettle.datasets.formats import jsonl
from fettle.datasets.formats.validation import MAX_ERRORS, STOP_AFTER, Report, validate
from tests.fettle.datasets.formats.given import (
    ASSISTANT,
    GOOD,
    MAX_ROW_BYTES,
    USER,
    chat,
    line,
    message,
    problems,
    report,
)

BAD = chat(message("human", "x"), ASSISTANT)


class TestValidate:
    def test_a_good_file_tells_its_shape_and_rows(self, tmp_path: Path) -> None:
        found = report(tmp_path, GOOD * 12)
        assert (found.shape, found.rows, found.error_count, found.errors, found.ok) == ("chat", 12, 0, [], True)

    def test_prompts_and_completions_are_a_shape(self, tmp_path: Path) -> None:
        found = report(
            tmp_path, line({"prompt": "2 + 3 = ?", "completion": "5", "answer": "5", "meta": {"a": [1]}}) * 3
        )
        assert (found.shape, found.rows, found.ok) == ("prompt_completion", 3, True)

    def test_all_problems_of_a_row_are_found_at_once(self, tmp_path: Path) -> None:
        row = chat(message("human", 5), "x", {"content": "x", "weight": 3, "id": 1}, message("user", "x"))
        assert problems(tmp_path, GOOD + row) == [
            (2, "messages[0].role", "unrecognized_role"),
            (2, "messages[0].content", "content_not_string"),
            (2, "messages[1]", "message_not_object"),
            (2, "messages[2].id", "message_unrecognized_key"),
            (2, "messages[2].role", "message_missing_key"),
            (2, "messages[2].weight", "invalid_weight"),
            (2, "messages", "example_missing_assistant_message"),
        ]

    def test_what_strict_reading_refuses_does_not_hide_what_the_row_lacks(self, tmp_path: Path) -> None:
        row = b'\xef\xbb\xbf\xef\xbb\xbf{"prompt": "a\\u0000", "prompt": "a\\u0000", "tools": NaN}\n'
        assert problems(tmp_path, row) == [
            (1, "", "bom"),
            (1, "prompt", "duplicate_key"),
            (1, "prompt", "nul"),
            (1, "tools", "nan_or_infinity"),
            (1, "tools", "tools_not_list"),
        ]

    def test_problems_on_many_lines_are_all_found(self, tmp_path: Path) -> None:
        found = problems(tmp_path, GOOD + BAD + GOOD + b"{\n" + b"\n" + GOOD + BAD)
        assert found == [
            (2, "messages[0].role", "unrecognized_role"),
            (4, "", "invalid_json"),
            (5, "", "blank_line"),
            (7, "messages[0].role", "unrecognized_role"),
        ]

    def test_the_first_row_with_a_shape_rules(self, tmp_path: Path) -> None:
        found = report(tmp_path, line({"text": "x"}) + line({"prompt": "a", "completion": "b"}) + GOOD)
        assert (found.shape, found.rows) == ("prompt_completion", 1)
        assert [problem.code for problem in found.errors] == ["missing_messages_list", "mixed_shapes"]
        assert "'chat'" in found.errors[1].message
        assert "'prompt_completion'" in found.errors[1].message

    def test_the_first_fifty_problems_are_kept_and_all_are_counted(self, tmp_path: Path) -> None:
        found = report(tmp_path, GOOD + BAD * 120 + GOOD)
        assert MAX_ERRORS == 50
        assert [problem.line for problem in found.errors] == list(range(2, 52))
        assert (found.error_count, found.rows) == (120, 2)

    def test_counting_stops_in_a_file_that_is_no_dataset(self, tmp_path: Path) -> None:
        found = report(tmp_path, b"{x\n" * (STOP_AFTER + 5) + GOOD)
        assert (found.error_count, found.rows) == (STOP_AFTER, 0)
        assert found.summary().endswith("(at least 9,999 more errors)")

    def test_a_line_of_exactly_the_limit_passes_and_one_byte_more_does_not(self, tmp_path: Path) -> None:
        bare = GOOD.rstrip(b"\n")
        fill = bare[:-1] + b" " * (MAX_ROW_BYTES - len(bare)) + b"}"
        assert len(fill) == MAX_ROW_BYTES
        for end in (b"\n", b"\r\n", b""):
            assert problems(tmp_path, GOOD + fill + end) == []
            assert problems(tmp_path, GOOD + b" " + fill + end) == [(2, "", "line_too_long")]

    def test_the_lines_after_one_that_is_too_long_keep_their_numbers(self, tmp_path: Path) -> None:
        long = chat(USER, message("assistant", "x" * 3 * jsonl.BLOCK))
        assert problems(tmp_path, long + GOOD + long + BAD) == [
            (1, "", "line_too_long"),
            (3, "", "line_too_long"),
            (4, "messages[0].role", "unrecognized_role"),
        ]
        assert report(tmp_path, long + GOOD + long + BAD).rows == 1

    def test_memory_stays_flat_however_long_a_line_or_a_file_is(self, tmp_path: Path) -> None:
        file = tmp_path / "long.jsonl"
        with file.open("wb") as out:
            out.write(GOOD + b'{"prompt": "')
            for _ in range(16):
                out.write(b"x" * 2**20)
            out.write(b'"}\n' + GOOD * 2_000)
        tracemalloc.start()
        found = validate(file, max_row_bytes=2**20)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (found.rows, found.error_count) == (2_001, 1)
        assert peak < 8 * 2**20


class TestReport:
    def test_it_survives_storing(self, tmp_path: Path) -> None:
        found = report(tmp_path, GOOD + BAD)
        stored = json.loads(json.dumps(found.to_json()))
        assert Report.model_validate(stored) == found
        assert stored["errors"] == [
            {
                "line": 2,
                "path": "messages[0].role",
                "code": "unrecognized_role",
                "message": "The role 'human' is unknown.",
                "fix": "Write 'user' in place of 'human'. Use one of: system, developer, user, assistant, tool.",
            }
        ]

    def test_the_summary_names_line_path_and_fix(self, tmp_path: Path) -> None:
        assert report(tmp_path, GOOD + BAD).summary() == (
            "Line 2, messages[0].role: The role 'human' is unknown. "
            "Write 'user' in place of 'human'. Use one of: system, developer, user, assistant, tool."
        )

    def test_the_summary_counts_the_rest(self, tmp_path: Path) -> None:
        assert report(tmp_path, b"{}\n" + BAD).summary().endswith(" (1 more error)")
        summary = report(tmp_path, BAD * 1201).summary()
        assert summary.startswith("Line 1, messages[0].role: ")
        assert summary.endswith(" (1,200 more errors)")

    def test_a_good_file_has_a_summary_too(self, tmp_path: Path) -> None:
        assert report(tmp_path, GOOD * 3).summary() == "3 rows, no errors."
