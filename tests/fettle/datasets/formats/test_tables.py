"""CSV and Parquet: the same rows as in JSONL, whatever the file is called."""

import csv
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from fettle.datasets.formats import quality
from fettle.datasets.formats.reading import conversations, prompts, recognise
from fettle.datasets.formats.validation import Report, validate
from tests.fettle.datasets.formats.given import ASSISTANT, GOOD, MAX_ROW_BYTES, USER, message, problems, report

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
TRICKY = ['a "quoted" word', "two\nlines\r\nthree", "a, b; c\td", "Grüße, 日本 🧑‍🚀", " spaces ", "=1+1"]


def comma_separated(rows: list[list[str]], **dialect: Any) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows(rows)
    return text.getvalue().encode()


def parquet(rows: list[dict[str, Any]], **options: Any) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file, **options)
    return file.getvalue()


def read(folder: Path, content: bytes) -> list[list[dict[str, Any]]]:
    """The messages of each row, after validation has passed them."""
    assert problems(folder, content) == []
    return [conversation.messages for _, conversation in conversations(folder / "data.jsonl")]


def pair(asked: str, said: str) -> list[dict[str, Any]]:
    return [message("user", asked), message("assistant", said)]


class TestCsv:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("bom", ["", "\ufeff"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_every_delimiter_line_end_and_text_is_read_as_it_was_written(
        self, delimiter: str, bom: str, end: str, tmp_path: Path
    ) -> None:
        rows = [[text, str(number)] for number, text in enumerate(TRICKY)]
        table = comma_separated([["prompt", "completion"], *rows], delimiter=delimiter, lineterminator=end)
        assert read(tmp_path, bom.encode() + table) == [pair(*row) for row in rows]

    @pytest.mark.parametrize("columns", [["Prompt", "Completion"], ["instruction", "output"]])
    def test_other_columns_in_any_order_are_left_out(self, columns: list[str], tmp_path: Path) -> None:
        table = comma_separated([["id", columns[1], "label", columns[0]], ["7", "5", "", "2 + 3 = ?"]])
        assert read(tmp_path, table) == [pair("2 + 3 = ?", "5")]

    def test_nested_columns_hold_json(self, tmp_path: Path) -> None:
        rows = [[json.dumps([USER, ASSISTANT]), json.dumps([TOOL])], [json.dumps([ASSISTANT]), ""]]
        table = comma_separated([["messages", "tools"], *rows])
        assert read(tmp_path, table) == [[USER, ASSISTANT], [ASSISTANT]]
        assert [c.tools for _, c in conversations(tmp_path / "data.jsonl")] == [[TOOL], None]

    def test_lines_are_counted_where_records_have_several(self, tmp_path: Path) -> None:
        table = b'prompt,completion\n"a\nb",c\nd\n"e\nf\ng",\nh,i\n'
        assert problems(tmp_path, table) == [(4, "", "csv_ragged_row"), (5, "completion", "empty_text")]

    def test_records_without_any_text_are_skipped_and_told(self, tmp_path: Path) -> None:
        found = report(tmp_path, b"prompt,completion,\na,b,\n\n,,\r\n , ,\nc,d,,\n,\n,,\n")
        assert (found.ok, found.rows) == (True, 2)
        assert [(note.code, note.message.split()[0]) for note in found.notes] == [("csv_empty_rows", "5")]
        assert [number for number, _ in conversations(tmp_path / "data.jsonl")] == [2, 6]
        assert problems(tmp_path, b"prompt,completion\na,b\n,,\nc,\n") == [(4, "completion", "empty_text")]
        assert problems(tmp_path, b"prompt,completion\na,b,x\n") == [(2, "", "csv_ragged_row")]

    @pytest.mark.parametrize(
        "header", [" prompt , Completion ", "PROMPT,COMPLETION", '"Prompt "," completion"', "\ufeffPrompt ,completion"]
    )
    def test_names_of_columns_may_have_blanks_and_capitals(self, header: str, tmp_path: Path) -> None:
        table = f"{header}\nx,y\n".encode()
        assert read(tmp_path, table) == [pair("x", "y")]
        assert [note.code for note in report(tmp_path, table).notes] == ["csv_columns_renamed"]

    def test_a_column_with_the_very_name_is_taken_and_the_other_left(self, tmp_path: Path) -> None:
        table = b"PROMPT,prompt,completion\nno,x,y\n"
        assert read(tmp_path, table) == [pair("x", "y")]
        assert report(tmp_path, table).notes == []

    def test_a_prompts_own_columns_lose_their_blanks_and_keep_their_capitals(self, tmp_path: Path) -> None:
        assert problems(tmp_path, b"Prompt , Answer\nx,4\n") == []
        assert [found.item for _, found in prompts(tmp_path / "data.jsonl")] == [{"Answer": "4"}]

    @pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "sep=;;", "\ufeffsep=;"])
    def test_a_line_that_only_names_the_delimiter_is_skipped(self, line: str, tmp_path: Path) -> None:
        table = f"{line}\r\nprompt;completion\r\n1, 2;3\r\n;\r\nx\r\n".encode()
        assert problems(tmp_path, table) == [(5, "", "csv_ragged_row")]
        assert read(tmp_path, table.removesuffix(b"x\r\n")) == [pair("1, 2", "3")]
        codes = [note.code for note in report(tmp_path, table.removesuffix(b"x\r\n")).notes]
        assert codes == ["csv_separator_line", "csv_empty_rows"]

    @pytest.mark.parametrize(
        ("header", "renamed"),
        [
            ("question,answer", "Rename 'question' to 'prompt' and 'answer' to 'completion'. "),
            ("id\tQuery\tReply", "Rename 'Query' to 'prompt' and 'Reply' to 'completion'. "),
            ("question , answer ", "Rename 'question ' to 'prompt' and ' answer ' to 'completion'. "),
            ("text;label", ""),
            ("question", "Rename 'question' to 'prompt'. "),
        ],
    )
    def test_columns_with_other_names_are_told_apart_by_their_meaning(
        self, header: str, renamed: str, tmp_path: Path
    ) -> None:
        (found,) = report(tmp_path, f"{header}\nx,y\n".encode()).errors
        assert found.code == "csv_without_header"
        assert found.fix.startswith(f"{renamed}Start the file")

    @pytest.mark.parametrize(
        "header",
        [
            *("Frage;Antwort;Quelle", "質問,回答,出典", "Pregunta , Respuesta,x", "question;réponse;x", "سؤال,جواب,x"),
            *("Вопрос\tОтвет\tx", "Prompt,Completion,x", "'prompt'|'completion'|x"),
        ],
    )
    def test_a_header_in_another_language_is_read_and_told(self, header: str, tmp_path: Path) -> None:
        table = f"{header}\n".encode() + b"".join(
            next(sign for sign in ",;\t|" if sign in header).join(["q", "a", "b"]).encode() + b"\n" for _ in range(2)
        )
        assert read(tmp_path, table) == [pair("q", "a")] * 2
        (note,) = report(tmp_path, table).notes
        assert note.code == "csv_columns_renamed" and "as 'completion'" in note.message

    @pytest.mark.parametrize(
        ("header", "renamed"),
        [
            ("instruction,response", "Rename 'instruction' to 'prompt' and 'response' to 'completion'. "),
            ("input,output", "Rename 'input' to 'prompt' and 'output' to 'completion'. "),
            ("question,chosen,rejected", "Rename 'question' to 'prompt'. "),
        ],
    )
    def test_a_column_that_its_shape_lacks_is_named(self, header: str, renamed: str, tmp_path: Path) -> None:
        (found,) = report(tmp_path, f"{header}\n{'x,y,z'[: 2 * header.count(',') + 1]}\n".encode()).errors
        assert (found.line, found.code) == (1, "missing_columns") and found.fix.startswith(renamed)

    def test_what_spreadsheets_leave_above_the_header_is_skipped_and_told(self, tmp_path: Path) -> None:
        table = b",,\n\r\nPrompt,Chosen,Rejected\nq,a,b\n"
        found = report(tmp_path, table)
        assert (found.shape, found.rows, found.errors) == ("preference", 1, [])
        assert [(note.code, note.message.split()[0]) for note in found.notes] == [
            ("csv_columns_renamed", "Columns"),
            ("csv_empty_rows", "2"),
        ]
        assert problems(tmp_path, table + b"q,a,a\n") == [(5, "rejected", "identical_responses")]

    @pytest.mark.parametrize(
        ("line", "code"), [(b"a\xe4,b\n", "not_utf8"), (b"a\0,b\n", "nul"), (b"a," + b"b" * 10_001, "line_too_long")]
    )
    def test_what_is_no_text_ends_the_reading_with_its_line(self, line: bytes, code: str, tmp_path: Path) -> None:
        assert problems(tmp_path, b"prompt,completion\na,b\nc,d\n" + line) == [(4, "", code)]

    def test_a_record_of_many_lines_is_bounded_too(self, tmp_path: Path) -> None:
        table = b'prompt,completion\na,"' + b"b\n" * MAX_ROW_BYTES + b'"\n'
        assert [code for _, _, code in problems(tmp_path, table)] == ["line_too_long"]

    def test_lines_that_end_with_a_carriage_return_alone_are_named(self, tmp_path: Path) -> None:
        assert problems(tmp_path, b"prompt,completion\ra,b\r") == [(1, "", "csv_carriage_return")]

    def test_a_header_alone_is_an_empty_file(self, tmp_path: Path) -> None:
        assert problems(tmp_path, b"prompt,completion\n") == [(1, "", "empty_file")]

    def test_an_unclosed_quote_in_the_header_is_named(self, tmp_path: Path) -> None:
        assert problems(tmp_path, b'prompt,"completion\na,b\n') == [(1, "", "csv_unclosed_quote")]

    def test_memory_stays_flat(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quality, "ROWS", 100)  # it has memory for so many digests
        few, many = (b"prompt,completion\n" + b"How much is 2 + 3?,5\n" * count for count in (10, 40_000))
        assert peak_of(tmp_path, few, many) < 2**20


class TestParquet:
    def test_nested_messages_are_rows_of_chat(self, tmp_path: Path) -> None:
        first = [message("system", "Be brief."), USER, {**ASSISTANT, "weight": 1}]
        assert read(tmp_path, parquet([{"messages": first}, {"messages": [USER, ASSISTANT]}])) == [
            first,
            [USER, ASSISTANT],
        ]

    def test_tools_may_be_nested_or_json(self, tmp_path: Path) -> None:
        turns = [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
        for tools in ([TOOL], json.dumps([TOOL])):
            content = parquet([{"messages": turns, "tools": tools}, {"messages": [USER, ASSISTANT], "tools": None}])
            read(tmp_path, content)
            (_, first), (_, second) = conversations(tmp_path / "data.jsonl")
            assert first.tools is not None and first.tools[0]["function"]["name"] == "add"
            assert first.messages[1]["tool_calls"][0]["function"]["arguments"] == {"a": 2}
            assert second.messages == [USER, ASSISTANT]
            assert second.tools is None

    def test_other_columns_of_any_type_are_not_looked_at(self, tmp_path: Path) -> None:
        row = {"prompt": "2 + 3 = ?", "completion": "5", "image": b"\0\xff", "embedding": [float("nan")] * 3}
        assert read(tmp_path, parquet([row])) == [pair("2 + 3 = ?", "5")]

    @pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
    def test_every_compression_and_any_row_groups_are_read(self, compression: str, tmp_path: Path) -> None:
        rows = [{"prompt": f"{n} + 1 = ?", "completion": str(n + 1)} for n in range(1000)]
        content = parquet(rows, compression=compression, row_group_size=70)
        assert read(tmp_path, content) == [pair(row["prompt"], row["completion"]) for row in rows]

    @pytest.mark.parametrize(
        ("row", "path", "code"),
        [
            ({"prompt": "a\0", "completion": "b"}, "prompt", "nul"),
            ({"prompt": "a", "completion": b"b"}, "completion", "text_not_string"),
            ({"prompt": "a", "completion": None}, "completion", "missing_text"),
            ({"prompt": "a", "completion": "b" * 10_001}, "", "line_too_long"),
            ({"messages": [{"role": "human", "content": "a"}, ASSISTANT]}, "messages[0].role", "unrecognized_role"),
            ({"messages": "no JSON"}, "messages", "cell_not_json"),
        ],
    )
    def test_a_bad_row_names_its_number_and_path(
        self, row: dict[str, Any], path: str, code: str, tmp_path: Path
    ) -> None:
        rows = [row] * 3
        assert problems(tmp_path, parquet(rows)) == [(number, path, code) for number in (1, 2, 3)]

    def test_text_that_is_not_utf_8_names_its_row(self, tmp_path: Path) -> None:
        texts = pyarrow.array([b"a", b"\xff", b"c"], pyarrow.binary()).cast(pyarrow.string(), safe=False)
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table({"prompt": ["x"] * 3, "completion": texts}), file)
        assert problems(tmp_path, file.getvalue()) == [(2, "", "not_utf8")]

    def test_its_summary_counts_rows_not_lines(self, tmp_path: Path) -> None:
        assert report(tmp_path, parquet([{"prompt": "a", "completion": ""}])).summary().startswith("Row 1, completion:")

    def test_damage_in_the_middle_is_told(self, tmp_path: Path) -> None:
        content = bytearray(parquet([{"prompt": "a" * n, "completion": "b"} for n in range(1, 900)]))
        content[100:140] = b"\xff" * 40
        found = report(tmp_path, bytes(content))
        assert not found.ok

    def test_no_rows_is_an_empty_file(self, tmp_path: Path) -> None:
        schema = pyarrow.schema([("prompt", pyarrow.string()), ("completion", pyarrow.string())])
        file = io.BytesIO()
        pyarrow.parquet.write_table(schema.empty_table(), file)
        assert problems(tmp_path, file.getvalue()) == [(1, "", "empty_file")]

    def test_memory_stays_flat(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quality, "ROWS", 100)  # it has memory for so many digests
        rows = [{"prompt": f"{n}", "completion": "5" * 100} for n in range(50_000)]
        assert peak_of(tmp_path, parquet(rows[:10]), parquet(rows, row_group_size=50_000)) < 4 * 2**20


def peak_of(folder: Path, few: bytes, many: bytes) -> int:
    """Bytes of Python's memory that validating `many` rows takes at most. few: for the imports."""
    file = folder / "data"
    file.write_bytes(few)
    validate(file, max_row_bytes=MAX_ROW_BYTES)
    file.write_bytes(many)
    tracemalloc.start()
    found: Report = validate(file, max_row_bytes=MAX_ROW_BYTES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.ok
    return peak


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (GOOD, "jsonl"),
        (b"\n\n" + GOOD, "jsonl"),
        (b"\xef\xbb\xbf" + GOOD, "jsonl"),
        (b"PAR1", "parquet"),
        (b"prompt,completion\n", "csv"),
        (b"prompt\n", "csv"),
        (b"", "jsonl"),
    ],
)
def test_a_format_is_told_by_what_a_file_holds(head: bytes, form: str) -> None:
    assert recognise(head) == (form, None)
