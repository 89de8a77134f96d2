"""What can be wrong with a dataset file: a code, a sentence and a way out for each.

A sentence may name keys, roles and numbers. It never shows what a row says.
"""

import re
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

NAME_LENGTH = 40  # characters of a key or role that a message may quote
CONVERT = "For example: pandas.{}('data').to_json('data.jsonl', orient='records', lines=True, force_ascii=False)."
DUMP = "Write each row with a JSON library, such as json.dumps(row), on a line of its own."

# code: what is wrong, how to mend it. The names in braces come with the finding.
PROBLEMS: dict[str, tuple[str, str]] = {
    # the file
    "empty_file": ("The file holds no rows.", "Write one JSON object on each line."),
    "gzip_file": ("The file is compressed with gzip.", "Unpack it (gunzip) and upload the JSONL file inside."),
    "zip_file": ("The file is a zip archive, or a spreadsheet.", "Upload the JSONL file itself, not packed."),
    "zstd_file": ("The file is compressed with zstd.", "Unpack it (unzstd) and upload the JSONL file inside."),
    "parquet_file": ("The file is Parquet, not JSONL.", f"Convert it. {CONVERT.format('read_parquet')}"),
    "utf16_file": ("The file is UTF-16 text.", "Save it as UTF-8 without a byte order mark."),
    "csv_file": ("The first line looks like a CSV header, not a JSON object.", CONVERT.format("read_csv")),
    "json_array": (
        "The file is a JSON array, not one object on each line.",
        "Write each element on a line of its own, without the array's brackets and commas (jq -c '.[]').",
    ),
    "pretty_printed_json": (
        "The file is JSON spread over several lines, not one object on each line.",
        "Write each object on one line, without indentation (jq -c .).",
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
    "row_not_object": ("The line holds {kind}, not a JSON object.", 'Write the row as an object: {"messages": […]}.'),
    # the row
    "mixed_shapes": (
        "The row has the shape {shape}, but the file's first row has the shape {first}.",
        "Keep one shape in a file.",
    ),
    "missing_messages_list": (
        "The row has neither 'messages' nor 'prompt' and 'completion'; its keys: {keys}.",
        'Write {"messages": […]} or {"prompt": "…", "completion": "…"}.',
    ),
    "messages_not_list": ("'messages' is {kind}, not a list.", "Make it a list of {role, content} objects."),
    "empty_messages_list": ("'messages' is empty.", "Give at least a user's and an assistant's message."),
    "tools_unsupported": ("{key} belongs to tool calls, which cannot be trained on yet.", "Remove the tool calls."),
    # a message
    "message_not_object": ("The message is {kind}, not an object.", 'Write {"role": "…", "content": "…"}.'),
    "message_missing_key": ("The message has no {key}.", "Give it one of the roles system, user and assistant."),
    "message_unrecognized_key": (
        "A message cannot have the key {key}.",
        "Remove it; a message has role, content, and perhaps name and weight.",
    ),
    "unrecognized_role": ("The role {role} is unknown.", "Use system, user or assistant."),
    "role_not_string": ("The role is {kind}, not a string.", "Use system, user or assistant."),
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
    # a prompt and its completion
    "missing_text": ("The row has no {key}.", "Give it a 'prompt' and a 'completion', both strings."),
    "text_not_string": ("{key} is {kind}, not a string.", "Make it a string."),
    "empty_text": ("{key} is empty.", "Fill it, or drop the row."),
}


class Finding(NamedTuple):
    """One problem in a row, before it is put into words."""

    path: str
    code: str
    names: dict[str, str | int] = {}  # noqa: RUF012 — never written to


class Problem(BaseModel):
    """One problem in a file, as the user sees it."""

    model_config = ConfigDict(frozen=True)

    line: int  # counted from 1
    path: str  # inside the row, such as `messages[1].role`; empty for the whole line
    code: str
    message: str
    fix: str


def put_into_words(line: int, finding: Finding) -> Problem:
    message, fix = PROBLEMS[finding.code]
    return Problem(line=line, path=finding.path, code=finding.code, message=message.format_map(finding.names), fix=fix)


def quoted(name: str) -> str:
    """A key or role as a message may show it: cut, and with everything unprintable escaped."""
    return repr(name if len(name) <= NAME_LENGTH else name[:NAME_LENGTH] + "…")


def step(key: str) -> str:
    """A key as a part of a JSON path."""
    return f".{key}" if re.fullmatch(rf"[A-Za-z_]\w{{0,{NAME_LENGTH - 1}}}", key) else f"[{quoted(key)}]"


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    return next(word for type_, word in KINDS.items() if isinstance(value, type_))


KINDS: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",  # before int, which it is too
    int: "a number",
    float: "a number",
    type(None): "null",
}
