"""What can be wrong with a dataset file: a code, a sentence and a way out for each.

A sentence may name keys, roles and numbers. It never shows what a row says.
"""

import re
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

NAME_LENGTH = 40  # characters of a key or role that a message may quote
DUMP = "Write each row with a JSON library, such as json.dumps(row), on a line of its own."

# code: what is wrong, how to mend it. The names in single braces come with the RowProblem.
PROBLEMS: dict[str, tuple[str, str]] = {
    # the file
    "empty_file": ("The file holds no rows.", "Write one JSON object on each line."),
    "gzip_file": ("The file is compressed with gzip.", "Unpack it (gunzip) and upload the file inside."),
    "zip_file": ("The file is a zip archive, or a spreadsheet.", "Unpack it, or save the sheet as CSV in UTF-8."),
    "zstd_file": ("The file is compressed with zstd.", "Unpack it (unzstd) and upload the file inside."),
    "utf16_file": ("The file is UTF-16 text.", "Save it as UTF-8 without a byte order mark."),
    "json_array": (
        "The file is a JSON array, not one object on each line.",
        "Write each element on a line of its own, without the array's brackets and commas (jq -c '.[]').",
    ),
    "pretty_printed_json": (
        "The file is JSON spread over several lines, not one object on each line.",
        "Write each object on one line, without indentation (jq -c .).",
    ),
    "missing_columns": (
        "The file has none of the columns of a dataset; its columns: {keys}.",
        "Name them messages, or prompt and completion, or instruction and output, or conversations.",
    ),
    "duplicate_column": ("The file has two columns named {key}.", "Rename or drop one of them."),
    # CSV
    "csv_without_header": (
        "The first line of the CSV file names none of the columns of a dataset.",
        "Begin the file with a header such as prompt,completion or instruction,input,output.",
    ),
    "csv_ragged_row": (
        "The row has {fields} fields, but the header has {columns}.",
        "Put fields that hold a comma or a line break into quotes, or write the file with a CSV library.",
    ),
    "csv_stray_quote": (
        "A quoted field goes on after its closing quote.",
        "Double the quotes inside a quoted field, or write the file with a CSV library.",
    ),
    "csv_unclosed_quote": (
        "A quoted field that begins in this row is never closed.",
        "Close it; if the file was cut off, upload the whole of it.",
    ),
    "csv_carriage_return": (
        "There is a carriage return outside quotes that ends no line.",
        "End lines with \\n or \\r\\n, and put fields that hold line breaks into quotes.",
    ),
    "cell_not_json": ("The text in the column {key} is not JSON.", "Write the cell with json.dumps."),
    # Parquet
    "parquet_unreadable": (
        "The Parquet file cannot be read: it is damaged, cut off, encrypted or compressed in an unknown way.",
        "Write it again, for example with pandas.DataFrame.to_parquet, and upload the whole file.",
    ),
    "parquet_too_many_rows": (
        "The Parquet file claims {rows} rows in {bytes} bytes: that is no dataset.",
        "Write rows that differ, or upload the file as JSONL.",
    ),
    "parquet_too_large": (
        "The Parquet file unpacks to more than {limit} bytes.",
        "Write it with less in each row, or in several files.",
    ),
    "validation_too_slow": (
        "The file could not be checked within {seconds} seconds.",
        "Write simpler rows, or several smaller files.",
    ),
    "validation_too_large": (
        "Checking the file takes more than {limit} bytes of memory.",
        "Write smaller rows or row groups, or several smaller files.",
    ),
    "parquet_group_too_large": (
        "A row group of the Parquet file unpacks to more than {limit} bytes.",
        "Write it with smaller row groups: pyarrow.parquet.write_table(table, file, row_group_size=10_000).",
    ),
    # the line
    "line_too_long": (
        "The line is longer than {limit} bytes.",
        "Shorten or split the row, or have the operator raise max_row_bytes.",
    ),
    "blank_line": ("The line is blank.", "Remove it; only the end of the file may be blank."),
    "bom": ("The line begins with a byte order mark.", "Save the file as UTF-8 without a byte order mark."),
    "nul": ("There is a NUL character.", "Remove it: text cannot hold \\u0000."),
    "not_utf8": ("The line is not UTF-8 at byte {byte}.", "Save the file as UTF-8."),
    "truncated_line": ("The last line ends in the middle of a row.", "Upload the whole file again, or drop this line."),
    "invalid_json": ("The line is not JSON: {reason} at column {column}.", DUMP),
    "nan_or_infinity": ("The number is NaN, infinite or too large.", "Use a finite number or null."),
    "lone_surrogate": (
        "The text holds half of a surrogate pair, which is no character.",
        "Write the pair's both halves, or the character itself in UTF-8.",
    ),
    "duplicate_key": ("The key {key} stands twice in one object.", "Keep one of them."),
    "too_deep": ("The row is nested deeper than {limit} levels.", "Flatten it."),
    "row_not_object": ("The line holds {kind}, not a JSON object.", 'Write the row as an object: {{"messages": […]}}.'),
    # the row
    "mixed_shapes": (
        "The row has the shape {shape}, but the file's first row has the shape {first}.",
        "Keep one shape in a file.",
    ),
    "missing_messages_list": (
        "The row has the keys of no shape: not 'messages', 'prompt' and 'completion', 'instruction' and 'output', or "
        "'conversations'; its keys: {keys}.",
        'Write {{"messages": […]}} or {{"prompt": "…", "completion": "…"}}.',
    ),
    "messages_not_list": ("{key} is {kind}, not a list.", "Make it a list of objects, one for each message."),
    "empty_messages_list": ("{key} is empty.", "Give at least a user's and an assistant's message."),
    # a message
    "message_not_object": ("The message is {kind}, not an object.", 'Write {{"role": "…", "content": "…"}}.'),
    "message_missing_key": ("The message has no {key}.", "Every message says who speaks and what is said."),
    "message_unrecognized_key": (
        "A message cannot have the key {key}.",
        "Remove it; a message has role, content, and perhaps name, weight, tool_calls and tool_call_id.",
    ),
    "unrecognized_role": ("The role {role} is unknown.", "Use one of: {roles}."),
    "role_not_string": ("The role is {kind}, not a string.", "Use one of: {roles}."),
    "system_not_first": (
        "A system message stands after another message.",
        "Make it the first message, or merge it into the first.",
    ),
    "missing_content": ("The message has no content.", "Give it a 'content' string."),
    "content_not_string": ("The content is {kind}, not a string.", "Join its text parts into one string."),
    "empty_content": ("The assistant's message is empty.", "Write what the assistant should say, or drop the row."),
    "name_not_string": ("The name is {kind}, not a string.", "Use a string, or remove it."),
    "invalid_weight": ("The weight is neither 0 nor 1.", "Use the number 0 (context only) or 1 (train on it)."),
    "weight_not_assistant": (
        "Only an assistant's message has a weight: no other message is trained on.",
        "Remove the weight.",
    ),
    "example_missing_assistant_message": (
        "No message is the assistant's, so that there is nothing to train on.",
        "End the row with what the assistant should say.",
    ),
    "last_message_not_assistant": (
        "The last message is not the assistant's.",
        "Drop the messages after the assistant's last one, or add the answer.",
    ),
    "all_weights_zero": (
        "Every assistant message has weight 0, so that there is nothing to train on.",
        "Give at least one of them weight 1, or drop the row.",
    ),
    "weight_in_prompt": (
        "A message of the prompt has a weight, but only the completion is trained on.",
        'Move it into the completion, or write the row as {{"messages": […]}}.',
    ),
    # tools
    "tools_not_list": ("'tools' is {kind}, not a list.", "Make it a list of function definitions."),
    "invalid_tool": (
        "The tool is no function definition: {reason}.",
        'Write {{"type": "function", "function": {{"name": "…", "description": "…", "parameters": {{…}}}}}}.',
    ),
    "parallel_tool_calls_not_boolean": ("'parallel_tool_calls' is {kind}.", "Use true or false, or remove it."),
    "parallel_tool_calls_forbidden": (
        "The message makes {count} tool calls, but the row's parallel_tool_calls is false.",
        "Make one call a message, or set parallel_tool_calls to true.",
    ),
    "functions_unsupported": (
        "{key} belongs to the older form of tool calls.",
        "Use 'tools', an assistant's 'tool_calls' and the role 'tool'.",
    ),
    "tools_need_chat": (
        "A row of this shape cannot have tool calls ({key}).",
        'Write the row as {{"messages": […], "tools": […]}}.',
    ),
    "invalid_tool_call": (
        "The tool calls are not as the API gives them: {reason}.",
        'Write {{"id": "…", "type": "function", "function": {{"name": "…", "arguments": "{{…}}"}}}}.',
    ),
    "tool_calls_not_assistant": ("Only an assistant's message has tool_calls.", "Remove them from this message."),
    "tool_call_id_not_tool": ("Only a message of the role tool has a tool_call_id.", "Remove it from this message."),
    "missing_tool_call_id": ("The tool's message has no tool_call_id.", "Name the id of the call that it answers."),
    "unknown_tool_call_id": (
        "The tool's message answers no open call of the assistant's message before it.",
        "Use the id of one of its tool_calls, once, before the next message of another role.",
    ),
    "unanswered_tool_call": (
        "The assistant's {count} tool calls before this message have no answer.",
        "Add a message of the role tool for each, with its tool_call_id.",
    ),
    # comparisons
    "missing_prompt": ("The row has no {key}.", "Give the prompt that all of the row's responses answer."),
    "prompt_not_text_or_messages": ("{key} is {kind}, not a string or a list of messages.", "Make it one of these."),
    "prompt_ends_with_assistant": (
        "The prompt's last message is the assistant's.",
        "End the prompt where the assistant is to speak; what it says is in the responses.",
    ),
    "missing_response": ("The row has no {key}.", "Give both responses, the better one and the worse one."),
    "response_not_text_or_message": (
        "{key} is {kind}, not a string or a list with one message.",
        'Write the response as a string, or as [{{"role": "assistant", "content": "…"}}].',
    ),
    "response_not_one_message": (
        "{key} holds {count} messages, not one.",
        "Move the messages before the assistant's last one into the prompt.",
    ),
    "response_not_assistants": ("The response's message is not the assistant's.", "Set its role to assistant."),
    "identical_responses": (
        "Two responses in {key} that are ranked apart say the same: there is nothing to prefer.",
        "Drop the row, or write down what really differed.",
    ),
    "missing_ranking": (
        "The row has no {key}.",
        'Write {{"prompt", "responses": […], "ranking": [2, 0, 1]}} or {{"prompt", "ranked": […]}}, best first.',
    ),
    "ranking_not_list": ("{key} is {kind}, not a list.", "Make it a list, best first; a list inside it is a tie."),
    "too_few_responses": ("{key} holds {count} responses.", "Give two or more, or drop the row."),
    "ranking_not_a_response": (
        "The entry is no number of a response.",
        "Count responses from 0: use whole numbers from 0 to {last}, or a list of some that are tied.",
    ),
    "ranked_twice": ("The response {number} is ranked twice.", "Name every response once."),
    "ranking_empty_tie": ("The tie holds no response.", "Remove it, or name its responses."),
    "ranking_incomplete": ("{count} of the responses are not ranked.", "Name every response once, ties in a list."),
    "ranking_all_tied": ("All responses in {key} are tied: there is nothing to prefer.", "Drop the row."),
    # a prompt and its completion, an instruction and its output
    "missing_text": ("The row has no {key}.", "Give it both: what is asked, and what shall be answered."),
    "text_not_string": ("{key} is {kind}, not a string.", "Make it a string."),
    "empty_text": ("{key} is empty.", "Fill it, or drop the row."),
    "history_unsupported": (
        "The row has a 'history' of earlier turns, which would be lost.",
        'Write the row as {{"messages": […]}} with those turns in it.',
    ),
}

# No line or row is to blame
OF_THE_FILE = frozenset(
    {
        "empty_file",
        "gzip_file",
        "zip_file",
        "zstd_file",
        "utf16_file",
        "json_array",
        "pretty_printed_json",
        "missing_columns",
        "duplicate_column",
        "parquet_too_many_rows",
        "parquet_too_large",
        "validation_too_slow",
        "validation_too_large",
    }
)


class RowProblem(NamedTuple):
    """One problem in a row, before it is put into words."""

    path: str
    code: str
    names: dict[str, str | int] = {}  # noqa: RUF012 — never written to


class Problem(BaseModel):
    """One problem in a file, as the user sees it."""

    model_config = ConfigDict(frozen=True)

    line: int  # counted from 1; of Parquet the row
    path: str  # inside the row, such as `messages[1].role`; empty for the whole line
    code: str
    message: str
    fix: str


def put_into_words(line: int, row_problem: RowProblem) -> Problem:
    message, fix = PROBLEMS[row_problem.code]
    names = row_problem.names
    return Problem(
        line=line,
        path=row_problem.path,
        code=row_problem.code,
        message=message.format_map(names),
        fix=fix.format_map(names),
    )


def quoted(name: str) -> str:
    """A key or role as a message may show it: cut, and with everything unprintable escaped."""
    return repr(name if len(name) <= NAME_LENGTH else name[:NAME_LENGTH] + "…")


def step(key: str) -> str:
    """A key as a part of a JSON path."""
    return f".{key}" if re.fullmatch(rf"[A-Za-z_]\w{{0,{NAME_LENGTH - 1}}}", key) else f"[{quoted(key)}]"


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    return next((word for type_, word in KINDS.items() if isinstance(value, type_)), "no text")


KINDS: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",  # before int, which it is too
    int: "a number",
    float: "a number",
    type(None): "null",
    bytes: "binary data",  # a Parquet column may hold it
}
