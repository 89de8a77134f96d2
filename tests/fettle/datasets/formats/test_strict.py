"""The files that people really upload by mistake, each with the sentence that they read: one table."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from fettle.datasets.formats.reading import conversations
from tests.fettle.datasets.formats.given import ASSISTANT, GOOD, USER, chat, message, report

DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"\n"
NAN = chat(USER, ASSISTANT, score=float("nan"))


def packed(*names: str) -> bytes:
    """A zip with these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return out.getvalue()


MISTAKES: dict[str, tuple[bytes, str]] = {
    "truncated": (
        GOOD + GOOD[:40],
        "Line 2: The last line ends in the middle of a row. Upload the whole file again, or remove this line.",
    ),
    "byte order mark in the middle": (
        GOOD + b"\xef\xbb\xbf" + GOOD,
        "Line 2: The line begins with a byte order mark. Save the file as UTF-8 without a byte order mark.",
    ),
    "NUL": (
        GOOD + b"\0" * 40 + b"\n",
        "Line 2: The row contains the character U+0000 (NUL). Remove it. Text cannot contain \\u0000.",
    ),
    "escaped NUL": (
        chat(USER, message("assistant", "5\0")),
        "Line 1, messages[1].content: The row contains the character U+0000 (NUL). Remove it. Text cannot contain "
        "\\u0000.",
    ),
    "NaN": (NAN, "Line 1, score: The number is NaN, infinite or too large. Use a finite number or null."),
    "duplicate keys": (
        GOOD + b'{"prompt": "a", "completion": "b", "completion": "c"}\n',
        "Line 2, completion: The key 'completion' appears twice in one object. Keep one of them. (1 more error)",
    ),
    "5,000 levels deep": (DEEP, "Line 1: The row is nested deeper than 254 levels. Flatten it."),
    "wrong role": (
        chat(message("human", "x"), ASSISTANT),
        "Line 1, messages[0].role: The role 'human' is unknown. Write 'user' in place of 'human'. Use one of: system, "
        "developer, user, assistant, tool.",
    ),
    "empty": (b"", "The file has no rows. Write one JSON object on each line."),
    "CSV without a header": (
        b"How much is 2 + 3?,5\nHow much is 3 + 3?,6\n",
        "Line 1: The first line of the CSV file has none of the column names that a dataset needs. Start the file "
        "with a header such as prompt,completion or instruction,input,output.",
    ),
    "gzip": (
        gzip.compress(GOOD),
        "The file is compressed with gzip. Decompress it (gunzip) and upload the file inside.",
    ),
    "UTF-16": (
        GOOD.decode().encode("utf-16"),
        "The file is UTF-16 text. Save it as UTF-8 without a byte order mark.",
    ),
    "Latin-1": (
        b'{"prompt": "Gr\xfc\xdfe", "completion": "x"}\n',
        "Line 1: The line is not UTF-8 at byte 15. Save the file as UTF-8. If Windows wrote it, use "
        "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW.",
    ),
    "half an emoji": (
        b'{"prompt": "x", "completion": "\\ud83d"}\n',
        "Line 1, completion: The text contains half of a surrogate pair, which is not a character. Write both halves "
        "of the pair, or the character itself in UTF-8.",
    ),
    "an Excel workbook": (
        packed("[Content_Types].xml", "xl/workbook.xml"),
        "The file is an Excel workbook. Save the sheet as CSV in UTF-8, with a header such as prompt,completion, and "
        "upload that.",
    ),
    "a Word document": (
        packed("[Content_Types].xml", "word/document.xml"),
        "The file is a Word document, which is not a dataset format that Fettle reads. Write the rows as JSONL, CSV "
        "or Parquet.",
    ),
    "a zip": (
        packed("train.jsonl"),
        "The file is a zip archive. Extract it, and upload the dataset file inside.",
    ),
    "save_to_disk's state": (
        b'{\n  "_data_files": [\n    {\n      "filename": "data-00000-of-00001.arrow"\n    }\n  ]\n}',
        "The file describes a dataset of Hugging Face's save_to_disk, and does not have its rows. Write the rows: "
        "datasets.load_from_disk(FOLDER).to_json('train.jsonl'). Of several splits, take one first.",
    ),
    "a story": (
        b"Once upon a time\n\nthere was a file.\n" * 3,
        "The file is plain text, without rows. Write what a model is to answer as rows, such as "
        '{"prompt": "\u2026", "completion": "\u2026"} on each line.',
    ),
    "a comment above the rows": (
        b"// my rows\n" + GOOD,
        "Line 1: The line is not JSON: unexpected character, expected a JSON value at column 1. Write each row with "
        "a JSON library, such as json.dumps(row), on its own line.",
    ),
    "quotes of a word processor": (
        "{\u201dprompt\u201d: \u201dx\u201d}\n".encode(),
        "Line 1: The line is not JSON: unexpected character, expected a string key (it is U+201D, right double "
        "quotation mark) at column 2. Write each row with a JSON library, such as json.dumps(row), on its own line.",
    ),
    "a list on each line": (
        b'["What?", "That."]\n' * 2,
        'Line 1: The line is an array, not a JSON object. Write the row as an object: {"messages": [\u2026]}. '
        "(1 more error)",
    ),
    "rows under a key": (
        json.dumps({"version": 1, "data": [{"prompt": "x", "completion": "y"}] * 3}).encode(),
        "Line 1: The row is an object around a list of 3 rows, under the key 'data'. Write each of them on its own "
        "line: jq -c '.data[]'.",
    ),
    "a JSON array": (
        json.dumps([{"prompt": "x", "completion": "y"}]).encode(),
        "The file is a JSON array, not one object on each line. Write each element on its own line, "
        "without the array's brackets and commas (jq -c '.[]').",
    ),
    "indented JSON": (
        json.dumps({"prompt": "x", "completion": "y"}, indent=2).encode(),
        "The file is JSON spread over several lines, not one object on each line. Write each object on one "
        "line, without indentation (jq -c .).",
    ),
    "a Python literal": (
        b"{'prompt': 'x', 'completion': 'y'}\n",
        "Line 1: The line is a Python literal, not JSON. Write each row with json.dumps(row), not with str(row) or "
        "print(row).",
    ),
    "the rows of another task": (
        b'{"text": "x", "label": 1}\n',
        "Line 1: The row has none of the expected keys: 'messages', 'prompt' and 'completion', 'instruction' and "
        "'output', or 'conversations'. Its keys are: 'text', 'label'. Write {\"messages\": […]} or {\"prompt\": \"…\", "
        '"completion": "…"}.',
    ),
    "two shapes": (
        GOOD + b'{"prompt": "x", "completion": "y"}\n',
        "Line 2: The row has the shape 'prompt_completion', but most rows of the file have the shape 'chat'. "
        "Use one shape in each file.",
    ),
    "a damaged Parquet file": (
        b"PAR1" + GOOD,
        "Row 1: The Parquet file cannot be read. It may be damaged, cut off, encrypted or compressed in an "
        "unsupported way. Write it again, for example with pandas.DataFrame.to_parquet, and upload the whole file.",
    ),
    "a CSV file that was cut off": (
        b'prompt,completion\na,b\nc,"d',
        "Line 3: A quoted field that starts in this row is never closed. Close it. If the file was cut off, "
        "upload the whole file.",
    ),
    "a comma without quotes": (
        b"prompt,completion\nHello, you,x\n",
        "Line 2: The row has 3 fields, but the header has 2. Quote fields that contain a comma or a line break, "
        "or write the file with a CSV library.",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_the_way_out(mistake: str, tmp_path: Path) -> None:
    content, sentence = MISTAKES[mistake]
    assert report(tmp_path, content, max_row_bytes=1 << 20).summary() == sentence


def test_a_line_of_100_megabytes_is_told_and_the_next_one_is_read(tmp_path: Path) -> None:
    line = b'{"prompt": "x", "completion": "' + b"y" * 100_000_000 + b'"}\n'
    found = report(tmp_path, line + b'{"prompt": "x", "completion": "y"}\n', max_row_bytes=1 << 20)
    assert found.rows == 1
    assert found.summary() == (
        "Line 1: The line is longer than 1048576 bytes. Shorten or split the row, or ask the operator to raise "
        "FETTLE_MAX_ROW_BYTES."
    )


def test_a_byte_order_mark_at_the_beginning_is_passed_over(tmp_path: Path) -> None:
    found = report(tmp_path, b"\xef\xbb\xbf" + GOOD * 11)
    assert (found.ok, found.rows) == (True, 11)
    assert [number for number, _ in conversations(tmp_path / "data.jsonl")] == [*range(1, 12)]
