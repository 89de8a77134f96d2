"""Mistakes that a dataset file can have, by the code of the problem that each must be."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
from typing import Any

import pyarrow.feather
import pyarrow.parquet

from tests.fettle.datasets.formats.given import ASSISTANT, GOOD, MAX_ROW_BYTES, USER, chat, line, message

SECRET = "zebra quagga 4711"  # content that no report may show
ASKED, SAID = message("user", SECRET), message("assistant", SECRET)
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
DEEP = b"[" * 300 + b"]" * 300


def call(id: str, arguments: Any = '{"a": 2}') -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "add", "arguments": arguments}}


def calling(*calls: Any) -> dict[str, Any]:
    return message("assistant", None, tool_calls=list(calls))


def answering(id: str) -> dict[str, Any]:
    return message("tool", SECRET, tool_call_id=id)


def zipped(name: str = "train.jsonl") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, GOOD)
    return out.getvalue()


def tar() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        member = tarfile.TarInfo("data.jsonl")
        member.size = len(GOOD)
        file.addfile(member, io.BytesIO(GOOD))
    return archive.getvalue()


def arrow(stream: bool) -> bytes:
    table, file = pyarrow.table({"prompt": [SECRET]}), io.BytesIO()
    if stream:  # as in the folders of datasets.save_to_disk
        with pyarrow.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    else:
        pyarrow.feather.write_feather(table, file)
    return file.getvalue()


def parquet(columns: dict[str, list[Any]], twice: bool = False) -> bytes:
    """twice: the first column stands there once more."""
    table = pyarrow.table(columns)
    if twice:
        table = table.append_column(table.schema.names[0], table.column(0))
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


# Of the whole file: code → the file.
FILES: dict[str, list[bytes]] = {
    "empty_file": [b"", b"\n", b" \r\n\n"],
    "gzip_file": [gzip.compress(GOOD, mtime=0)],
    "zip_file": [zipped()],
    "spreadsheet_file": [zipped("xl/workbook.xml"), zipped("Index/Document.iwa")],
    "hub_metadata": [
        b'{\n  "_data_files": []\n}',
        b'{"splits": ["train"]}',
        b'{\n "citation": "",\n "features": {}\n}',
    ],
    "plain_text": [SECRET.encode(), b"\xef\xbb\xbf# Notes\n\nSome.\n", b"import json\nrows = 1\n"],
    "bzip2_file": [bz2.compress(GOOD)],
    "xz_file": [lzma.compress(GOOD)],
    "archive_file": [tar(), b"7z\xbc\xaf\x27\x1c\0\4", b"Rar!\x1a\x07\1\0"],
    "arrow_file": [arrow(stream=False), arrow(stream=True)],
    "no_dataset_file": [
        pickle.dumps([SECRET]),
        b"SQLite format 3\0" + SECRET.encode(),
        b"%PDF-1.7\n",
        f"<!DOCTYPE html>\n<p>{SECRET}</p>, x".encode(),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    ],
    "zstd_file": [bytes.fromhex("28b52ffd0458690000") + GOOD],
    "utf16_file": [GOOD.decode().encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-16-be")],
    "csv_without_header": [
        f"question,{SECRET}\n".encode(),
        f'\ufeff"Query";"Betreff"\r\n"x";"{SECRET}"\r\n'.encode(),
        f"text\tlabel\nx\t{SECRET}\n".encode(),
        f'"How much, {SECRET}?",5\n'.encode(),
    ],
    "duplicate_column": [
        b"prompt,completion,prompt\nx,y,z\n",
        parquet({"prompt": ["x"], "completion": ["y"]}, twice=True),
    ],
    "missing_columns": [parquet({"text": [SECRET]})],
    "parquet_unreadable": [
        b"PAR1\x15\x04\x15" + GOOD,
        parquet({"prompt": ["x"], "completion": [SECRET]})[:-9],
        b"PAR1",
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
    "python_not_json": [
        (str({"prompt": SECRET, "completion": "x"}).encode() + b"\n", [""]),
        (str(line({"prompt": SECRET, "completion": "x"})).encode() + b"\n", [""]),
        (b'{"prompt": "x", "completion": None}\n', [""]),
        (b'{"prompt": "x", "completion": "y", "good": True}\n', [""]),
    ],
    "several_on_a_line": [
        (chat(ASKED, SAID)[:-1] + b",\n", [""]),
        (chat(ASKED, SAID)[:-1] + chat(ASKED, SAID), [""]),
        (chat(ASKED, SAID)[:-1] + b"\r" + chat(ASKED, SAID), [""]),
    ],
    "cell_encoded_twice": [
        (line({"messages": json.dumps([ASKED, SAID])}), ["messages"]),
        (line({"messages": json.dumps([ASKED, SAID], indent=2), "id": 1}), ["messages"]),
    ],
    "wrapped_rows": [(line({"data": [{"prompt": SECRET, "completion": "x"}]}), [""])],
    "messages_are_turns": [
        (line({"messages": [{"from": "human", "value": SECRET}, {"from": "gpt", "value": "x"}]}), ["messages"])
    ],
    "message_with_reasoning": [
        (chat(ASKED, message("assistant", SECRET, **{key: SECRET})), [f"messages[1].{key}"])
        for key in ("reasoning", "reasoning_content", "thinking")
    ],
    "invalid_json": [
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
        (line([SECRET]), [""]),
    ],
    "row_is_messages": [(line([USER, ASSISTANT]), [""]), (line([{"from": "human", "value": SECRET}]), [""])],
    "row_encoded_twice": [(line(chat(ASKED, SAID).decode()), [""]), (line(json.dumps([ASKED, SAID])), [""])],
    "number_too_long": [
        (chat(ASKED, SAID, id=2**64), ["id"]),
        (chat(ASKED, SAID, ids=[{"of": -(2**63) - 1}]), ["ids[0].of"]),
    ],
    "missing_messages_list": [(line({"text": SECRET}), [""]), (b"{}\n", [""])],
    "messages_not_list": [(line({"messages": SECRET}), ["messages"]), (line({"messages": None}), ["messages"])],
    "empty_messages_list": [(chat(), ["messages"])],
    "functions_unsupported": [
        (chat(ASKED, SAID, functions=[{"name": "f"}]), ["functions"]),
        (chat(ASKED, message("function", SECRET, name="f"), SAID), ["messages[1].role"]),
        (chat(ASKED, message("assistant", None, function_call={"name": "f"})), ["messages[1].function_call"]),
    ],
    "tools_not_list": [(chat(ASKED, SAID, tools={"type": "function"}), ["tools"])],
    "invalid_tool": [
        (chat(ASKED, SAID, tools=[tool]), ["tools[0]"])
        for tool in (
            SECRET,
            {"type": SECRET},
            {"type": "function", "function": SECRET},
            {"type": "function", "function": {"description": SECRET}},
            {"type": "function", "function": {"name": "f", "parameters": [SECRET]}},
        )
    ]
    + [(chat(ASKED, SAID, tools=[TOOL, TOOL]), ["tools[1]"])],
    "parallel_tool_calls_not_boolean": [(chat(ASKED, SAID, parallel_tool_calls=SECRET), ["parallel_tool_calls"])],
    "parallel_tool_calls_forbidden": [
        (chat(ASKED, calling(call("1"), call("2")), parallel_tool_calls=False), ["messages[1].tool_calls"])
    ],
    "invalid_tool_call": [
        (chat(ASKED, calling(wrong)), ["messages[1].tool_calls[0]"])
        for wrong in (
            SECRET,
            {**call("1"), "id": None},
            {**call("1"), "type": SECRET},
            {**call("1"), "function": SECRET},
            call("1", arguments=SECRET),
            call("1", arguments=5),
            call("1", arguments='{"a": [18446744073709551616]}'),
        )
    ]
    + [
        (chat(ASKED, message("assistant", "x", tool_calls=SECRET)), ["messages[1].tool_calls"]),
        (chat(ASKED, {"role": "assistant", "tool_calls": [{**call("1"), "id": None}]}), ["messages[1].tool_calls[0]"]),
    ],
    "tool_calls_not_assistant": [
        (chat(message("user", SECRET, tool_calls=[call("1")]), SAID), ["messages[0].tool_calls"])
    ],
    "tool_call_id_not_tool": [(chat(message("user", SECRET, tool_call_id="1"), SAID), ["messages[0].tool_call_id"])],
    "missing_tool_call_id": [
        (chat(ASKED, calling(call("1")), message("tool", SECRET), SAID), ["messages[2].tool_call_id"])
    ],
    "unknown_tool_call_id": [
        (chat(ASKED, message("tool", SECRET, tool_call_id="1"), SAID), ["messages[1].tool_call_id"]),
        (chat(ASKED, calling(call("1")), answering("1"), answering("1"), SAID), ["messages[3].tool_call_id"]),
    ],
    "unanswered_tool_call": [
        (chat(ASKED, calling(call("1")), ASKED, SAID), ["messages[2]"]),
        (chat(ASKED, calling(call("1"), call("2")), answering("2"), SAID), ["messages[3]"]),
    ],
    "message_not_object": [(chat(ASKED, SECRET, SAID), ["messages[1]"]), (chat(None, ASKED, SAID), ["messages[0]"])],
    "message_missing_key": [
        (chat({"content": SECRET}, SAID), ["messages[0].role"]),
        (chat(message(None, SECRET), SAID), ["messages[0].role"]),
    ],
    "message_unrecognized_key": [(chat({**ASKED, "from": SECRET}, SAID), ["messages[0].from"])],
    "unrecognized_role": [
        (chat(message("human", SECRET), SAID), ["messages[0].role"]),
        (chat(message("User", SECRET), message("", SECRET), SAID), ["messages[0].role", "messages[1].role"]),
    ],
    "role_not_string": [(chat(message(["user"], SECRET), SAID), ["messages[0].role"])],
    "system_not_first": [
        (chat(ASKED, message("system", SECRET), SAID), ["messages[1].role"]),
        (chat(message("system", SECRET), message("developer", "x"), SAID), ["messages[1].role"]),
    ],
    "missing_content": [
        (chat({"role": "user"}, SAID), ["messages[0].content"]),
        (chat(ASKED, message("assistant", None)), ["messages[1].content"]),
    ],
    "content_not_string": [
        (chat(message("user", {"type": "text", "text": SECRET}), SAID), ["messages[0].content"]),
        (chat(ASKED, message("assistant", 5)), ["messages[1].content"]),
    ],
    "content_part_unsupported": [
        (
            chat(message("user", [{"type": "text", "text": "x"}, {"type": kind, "x": SECRET}]), SAID),
            ["messages[0].content[1]"],
        )
        for kind in ("image_url", "input_audio", "file", "refusal", 5)
    ]
    + [(chat(ASKED, message("assistant", [{"type": "text", "text": "x"}, SECRET])), ["messages[1].content[1]"])],
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
        (chat(ASKED, calling(call("1")), answering("1")), ["messages[2].role"]),
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
        (line({"prompt": {"role": SECRET}, "completion": SECRET}), ["prompt"]),
        (line({"prompt": SECRET, "completion": 72}), ["completion"]),
    ],
    "empty_text": [
        (line({"prompt": "", "completion": " \n"}), ["prompt", "completion"]),
        (line({"Prompt": "", "Completion": SECRET}), ["Prompt"]),
    ],
    "mixed_shapes": [(chat(ASKED, SAID), [""])],
    "empty_messages_list": [(line({"prompt": [], "completion": SECRET}), ["prompt"])],
    "message_not_object": [(line({"prompt": [ASKED, SECRET], "completion": [SAID]}), ["prompt[1]"])],
    "unrecognized_role": [
        (line({"prompt": SECRET, "completion": [message("bot", "x"), SAID]}), ["completion[0].role"])
    ],
    "example_missing_assistant_message": [(line({"prompt": [SAID], "completion": [ASKED]}), ["completion"])],
    "weight_in_prompt": [
        (line({"prompt": [ASKED, {**SAID, "weight": 1}, ASKED], "completion": SECRET}), ["prompt[1].weight"])
    ],
    "all_weights_zero": [(line({"prompt": [SAID, ASKED], "completion": [{**SAID, "weight": 0}]}), ["completion"])],
    "tools_need_chat": [(line({"prompt": SECRET, "completion": SECRET, "tools": [TOOL]}), ["tools"])],
}

# Of one line in a file of prompts without completions.
PROMPTS: dict[str, list[tuple[bytes, list[str]]]] = {
    "answer_among_prompts": [
        (line({"prompt": SECRET, "completion": "5"}), [""]),
        (chat(ASKED, SAID, answer=5), [""]),
        (line({"prompt": SECRET, "chosen": "5", "rejected": "6"}), [""]),
    ],
    "mixed_shapes": [(line({"instruction": SECRET, "output": "5"}), [""])],
}

# Of one line in a file of Alpaca's rows, and of ShareGPT's.
ALPACA: dict[str, list[tuple[bytes, list[str]]]] = {
    "missing_text": [(line({"instruction": SECRET}), ["output"])],
    "text_not_string": [
        (line({"instruction": SECRET, "output": "x", "input": 5, "system": [SECRET]}), ["input", "system"])
    ],
    "empty_text": [(line({"instruction": " ", "output": SECRET}), ["instruction"])],
    "history_unsupported": [(line({"instruction": SECRET, "output": "x", "history": [["a", SECRET]]}), ["history"])],
    "tools_need_chat": [(line({"instruction": SECRET, "output": "x", "tools": "[{}]"}), ["tools"])],
}
HUMAN, GPT = {"from": "human", "value": SECRET}, {"from": "gpt", "value": SECRET}
SHAREGPT: dict[str, list[tuple[bytes, list[str]]]] = {
    "messages_not_list": [(line({"conversations": SECRET}), ["conversations"])],
    "empty_messages_list": [(line({"conversations": []}), ["conversations"])],
    "message_not_object": [(line({"conversations": [HUMAN, SECRET]}), ["conversations[1]"])],
    "message_missing_key": [(line({"conversations": [{}, GPT]}), ["conversations[0].from", "conversations[0].value"])],
    "message_unrecognized_key": [(line({"conversations": [HUMAN, {**GPT, "a b": 1}]}), ["conversations[1]['a b']"])],
    "role_not_string": [(line({"conversations": [{**HUMAN, "from": 1}, GPT]}), ["conversations[0].from"])],
    "unrecognized_role": [(line({"conversations": [{**HUMAN, "from": "bing"}, GPT]}), ["conversations[0].from"])],
    "content_not_string": [(line({"conversations": [{**HUMAN, "value": 5}, GPT]}), ["conversations[0].value"])],
    "content_part_unsupported": [
        (line({"conversations": [{**HUMAN, "value": [SECRET]}, GPT]}), ["conversations[0].value[0]"])
    ],
    "turns_are_messages": [(line({"conversations": [ASKED, SAID]}), ["conversations"])],
    "last_message_not_assistant": [(line({"conversations": [HUMAN, GPT, HUMAN]}), ["conversations[2].from"])],
    "system_not_first": [
        (
            line({"system": SECRET, "conversations": [{**HUMAN, "from": "system"}, HUMAN, GPT]}),
            ["conversations[0].from"],
        )
    ],
    "invalid_weight": [(line({"conversations": [HUMAN, {**GPT, "weight": 2}]}), ["conversations[1].weight"])],
    "tools_need_chat": [
        (line({"conversations": [HUMAN, {"from": "function_call", "value": SECRET}, GPT]}), ["conversations[1].from"]),
        (line({"conversations": [HUMAN, GPT], "tools": SECRET}), ["tools"]),
    ],
}

# Of one record in a CSV file with the columns prompt, completion and messages in JSON.
CSV: dict[str, bytes] = {
    "csv_ragged_row": f"x,{SECRET},y\n".encode(),
    "csv_stray_quote": f'x,"{SECRET}"y\n'.encode(),
    "csv_unclosed_quote": f'x,"{SECRET}\n'.encode(),
    "csv_carriage_return": f"x,{SECRET}\ry\n".encode(),
}
