"""Every problem that a dataset file can have: a code, a sentence and a way out.

A sentence may name keys, roles and numbers. It never shows what a row says.
"""

DUMP = "Write each row with a JSON library, such as json.dumps(row), on its own line."

# code: what is wrong, how to mend it. The names in single braces come with the RowProblem.
PROBLEMS: dict[str, tuple[str, str]] = {
    # the file
    "empty_file": ("The file has no rows.", "Write one JSON object on each line."),
    "gzip_file": ("The file is compressed with gzip.", "Decompress it (gunzip) and upload the file inside."),
    "zip_file": ("The file is a zip archive.", "Extract it, and upload the dataset file inside."),
    "spreadsheet_file": (
        "The file is {kind}.",
        "Save the sheet as CSV in UTF-8, with a header such as prompt,completion, and upload that.",
    ),
    "hub_metadata": (
        "The file describes a dataset of Hugging Face's save_to_disk, and does not have its rows.",
        "Write the rows: datasets.load_from_disk(FOLDER).to_json('train.jsonl'). Of several splits, take one first.",
    ),
    "plain_text": (
        "The file is plain text, without rows.",
        'Write what a model is to answer as rows, such as {{"prompt": "…", "completion": "…"}} on each line.',
    ),
    "bzip2_file": ("The file is compressed with bzip2.", "Decompress it (bunzip2) and upload the file inside."),
    "xz_file": ("The file is compressed with xz.", "Decompress it (unxz) and upload the file inside."),
    "archive_file": ("The file is an archive ({kind}).", "Extract it, and upload the dataset file inside."),
    "arrow_file": (
        "The file is in Arrow's format (Feather, or a folder of Hugging Face's save_to_disk).",
        "Write it as Parquet or JSONL, such as with datasets.Dataset.to_json or pandas.DataFrame.to_parquet.",
    ),
    "no_dataset_file": (
        "The file is {kind}, which is not a dataset format that Fettle reads.",
        "Write the rows as JSONL, CSV or Parquet.",
    ),
    "zstd_file": ("The file is compressed with zstd.", "Decompress it (unzstd) and upload the file inside."),
    "utf16_file": ("The file is {kind} text.", "Save it as UTF-8 without a byte order mark."),
    "json_array": (
        "The file is a JSON array, not one object on each line.",
        "Write each element on its own line, without the array's brackets and commas (jq -c '.[]').",
    ),
    "pretty_printed_json": (
        "The file is JSON spread over several lines, not one object on each line.",
        "Write each object on one line, without indentation (jq -c .).",
    ),
    "missing_columns": (
        "The file lacks columns that a dataset needs. Its columns are: {keys}.",
        "{rename}A table needs messages, prompt and completion, instruction and output, or conversations.",
    ),
    "duplicate_column": ("The file has two columns named {key}.", "Rename or remove one of them."),
    # CSV
    "csv_without_header": (
        "The first line of the CSV file has none of the column names that a dataset needs.",
        "{rename}Start the file with a header such as prompt,completion or instruction,input,output.",
    ),
    "csv_header_too_long": (
        "The first line of the CSV file is longer than {limit} bytes.",
        "Shorten the names of columns, or remove columns that graders do not need.",
    ),
    "csv_too_large": (
        "The rows of the CSV file, with the names of their columns, unpack to more than {limit} bytes.",
        "Shorten the names of columns, or remove columns that graders do not need.",
    ),
    "csv_ragged_row": (
        "The row has {fields}, but the header has {columns}.",
        "Quote fields that contain a comma or a line break, or write the file with a CSV library.",
    ),
    "csv_stray_quote": (
        "A quoted field continues after its closing quote.",
        "Double the quotes inside a quoted field, or write the file with a CSV library.",
    ),
    "csv_unclosed_quote": (
        "A quoted field that starts in this row is never closed.",
        "Close it. If the file was cut off, upload the whole file.",
    ),
    "csv_carriage_return": (
        "The row has a carriage return outside quotes that is not a line ending.",
        "End lines with \\n or \\r\\n, and quote fields that contain line breaks.",
    ),
    "cell_not_json": ("The text in the column {key} is not JSON.", "Write the cell with json.dumps."),
    # Parquet
    "parquet_unreadable": (
        "The Parquet file cannot be read. It may be damaged, cut off, encrypted or compressed in an unsupported way.",
        "Write it again, for example with pandas.DataFrame.to_parquet, and upload the whole file.",
    ),
    "parquet_too_many_rows": (
        "The Parquet file claims {rows} rows in {bytes} bytes: it is not a dataset.",
        "Write rows that differ, or upload the file as JSONL.",
    ),
    "parquet_too_large": (
        "The Parquet file decompresses to more than {limit} bytes.",
        "Write smaller rows, or several files.",
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
        "A row group of the Parquet file decompresses to more than {limit} bytes.",
        "Write it with smaller row groups: pyarrow.parquet.write_table(table, file, row_group_size=10_000).",
    ),
    # the line
    "line_too_long": (
        "The line is longer than {limit} bytes.",
        "Shorten or split the row, or ask the operator to raise FETTLE_MAX_ROW_BYTES.",
    ),
    "blank_line": ("The line is blank.", "Remove it; only the end of the file may be blank."),
    "bom": ("The line begins with a byte order mark.", "Save the file as UTF-8 without a byte order mark."),
    "nul": ("The row contains the character U+0000 (NUL).", "Remove it. Text cannot contain \\u0000."),
    "not_utf8": (
        "The line is not UTF-8 at byte {byte}.",
        "Save the file as UTF-8. If Windows wrote it, use iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW.",
    ),
    "truncated_line": (
        "The last line ends in the middle of a row.",
        "Upload the whole file again, or remove this line.",
    ),
    "python_not_json": (
        "The line is a Python literal, not JSON.",
        "Write each row with json.dumps(row), not with str(row) or print(row).",
    ),
    "several_on_a_line": (
        "The line has more than one row, or a comma after the row.",
        "Write each row on its own line that ends with \\n, without commas between rows.",
    ),
    "invalid_json": ("The line is not JSON: {reason} at column {column}.", DUMP),
    "nan_or_infinity": ("The number is NaN, infinite or too large.", "Use a finite number or null."),
    "number_too_long": (
        "The whole number has more than 64 bits, so that it would be rounded.",
        "Write it as a string, in quotes.",
    ),
    "lone_surrogate": (
        "The text contains half of a surrogate pair, which is not a character.",
        "Write both halves of the pair, or the character itself in UTF-8.",
    ),
    "duplicate_key": ("The key {key} appears twice in one object.", "Keep one of them."),
    "too_deep": ("The row is nested deeper than {limit} levels.", "Flatten it."),
    "row_not_object": ("The line is {kind}, not a JSON object.", 'Write the row as an object: {{"messages": […]}}.'),
    "row_encoded_twice": (
        "The line is a string that holds JSON: the row was encoded twice.",
        "Write json.dumps(row) as it is, without a second json.dumps or to_json around it.",
    ),
    "row_is_messages": (
        "The line is a list of messages, not an object with the key 'messages'.",
        'Write {{"messages": […]}} around the list.',
    ),
    # the row
    "mixed_shapes": (
        "The row has the shape {shape}, but most rows of the file have the shape {first}.",
        "Use one shape in each file.",
    ),
    "answer_among_prompts": (
        "The row has an answer, but most rows of the file are prompts without one.",
        "Remove the answer, or give every row one.",
    ),
    "missing_messages_list": (
        "The row has none of the expected keys: 'messages', 'prompt' and 'completion', 'instruction' and 'output', or "
        "'conversations'. Its keys are: {keys}.",
        '{rename}Write {{"messages": […]}} or {{"prompt": "…", "completion": "…"}}.',
    ),
    "wrapped_rows": (
        "The row is an object around a list of {rows} rows, under the key {key}.",
        "Write each of them on its own line: jq -c '.{name}[]'.",
    ),
    "cell_encoded_twice": (
        "{key} is a string that holds JSON: it was encoded twice.",
        "Write the list itself, without json.dumps around it.",
    ),
    "messages_are_turns": (
        "The messages have 'from' and 'value', as ShareGPT's turns.",
        "Rename 'messages' to 'conversations', or 'from' to 'role' and 'value' to 'content'.",
    ),
    "turns_are_messages": ("The turns have 'role' and 'content', as chat messages.", "Rename {key} to 'messages'."),
    "messages_not_list": ("{key} is {kind}, not a list.", "Make it a list of objects, one for each message."),
    "empty_messages_list": ("{key} is empty.", "Add at least a user message and an assistant message."),
    # a message
    "message_not_object": ("The message is {kind}, not an object.", 'Write {{"role": "…", "content": "…"}}.'),
    "message_missing_key": ("The message has no {key}.", "Every message needs a role and a content."),
    "message_unrecognized_key": (
        "A message cannot have the key {key}.",
        "Remove it. A message has a role and a content, and may have a name, weight, tool_calls and tool_call_id.",
    ),
    "message_with_reasoning": (
        "A message cannot have the key {key}.",
        "Write the reasoning at the beginning of the content: <think>…</think>, or as the base model writes it.",
    ),
    "unrecognized_role": ("The role {role} is unknown.", "{rename}Use one of: {roles}."),
    "role_not_string": ("The role is {kind}, not a string.", "Use one of: {roles}."),
    "system_not_first": (
        "A system message comes after another message.",
        "Make it the first message, or merge it into the first.",
    ),
    "missing_content": ("The message has no content.", "Give it a 'content' string."),
    "content_not_string": ("The content is {kind}, not a string.", "Write it as a string, or as a list of text parts."),
    "content_part_unsupported": (
        "The content has a part that is {part}, but Fettle trains on text alone.",
        'Keep only parts like {{"type": "text", "text": "…"}}, or remove the row.',
    ),
    "empty_content": ("The assistant message is empty.", "Write what the assistant should say, or remove the row."),
    "name_not_string": ("The name is {kind}, not a string.", "Use a string, or remove it."),
    "invalid_weight": ("The weight is neither 0 nor 1.", "Use the number 0 (context only) or 1 (train on it)."),
    "weight_not_assistant": (
        "Only assistant messages can have a weight, because no other message is trained on.",
        "Remove the weight.",
    ),
    "example_missing_assistant_message": (
        "The row has no assistant message, so there is nothing to train on.",
        "End the row with an assistant message.",
    ),
    "last_message_not_assistant": (
        "The last message is not an assistant message.",
        "Remove the messages after the last assistant message, or add the answer.",
    ),
    "all_weights_zero": (
        "Every assistant message has weight 0, so there is nothing to train on.",
        "Set the weight of at least one of them to 1, or remove the row.",
    ),
    "weight_in_prompt": (
        "A message of the prompt has a weight, but only the completion is trained on.",
        'Move it into the completion, or write the row as {{"messages": […]}}.',
    ),
    # tools
    "tools_not_list": ("'tools' is {kind}, not a list.", "Make it a list of function definitions."),
    "invalid_tool": (
        "The tool is not a function definition: {reason}.",
        'Write {{"type": "function", "function": {{"name": "…", "description": "…", "parameters": {{…}}}}}}.',
    ),
    "parallel_tool_calls_not_boolean": ("'parallel_tool_calls' is {kind}.", "Use true or false, or remove it."),
    "parallel_tool_calls_forbidden": (
        "The message makes {count} tool calls, but the row's parallel_tool_calls is false.",
        "Make one call per message, or set parallel_tool_calls to true.",
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
        "The tool calls are not in the format of the API: {reason}.",
        'Write {{"id": "…", "type": "function", "function": {{"name": "…", "arguments": "{{…}}"}}}}.',
    ),
    "tool_calls_not_assistant": ("Only assistant messages can have tool_calls.", "Remove them from this message."),
    "tool_call_id_not_tool": (
        "Only messages with the role 'tool' can have a tool_call_id.",
        "Remove it from this message.",
    ),
    "missing_tool_call_id": ("The tool message has no tool_call_id.", "Add the id of the call that it answers."),
    "unknown_tool_call_id": (
        "The tool message does not answer an open call of the assistant message before it.",
        "Use the id of one of its tool_calls, once, before the next message of another role.",
    ),
    "unanswered_tool_call": (
        "The assistant message before this one has {calls} without an answer.",
        "Add a message with the role 'tool' and the call's tool_call_id for each.",
    ),
    # comparisons
    "missing_prompt": ("The row has no {key}.", "{rename}Add the prompt that all responses of the row answer."),
    "prompt_not_text_or_messages": ("{key} is {kind}, not a string or a list of messages.", "Use one of these."),
    "prompt_ends_with_assistant": (
        "The last message of the prompt is an assistant message.",
        "End the prompt before the assistant's turn. The responses contain what it says.",
    ),
    "missing_response": ("The row has no {key}.", "{rename}Add both responses, the better one and the worse one."),
    "response_not_text_or_message": (
        "{key} is {kind}, not a string or a list with one message.",
        'Write the response as a string, or as [{{"role": "assistant", "content": "…"}}].',
    ),
    "response_not_one_message": (
        "{key} has {count} messages, not one.",
        "Move the messages before the assistant's last one into the prompt.",
    ),
    "response_not_assistants": ("The response is not an assistant message.", "Set its role to assistant."),
    "identical_responses": (
        "Two responses in {key} with different ranks have the same text, so there is nothing to prefer.",
        "Remove the row, or correct the responses.",
    ),
    "missing_ranking": (
        "The row has no {key}.",
        'Write {{"prompt", "responses": […], "ranking": [2, 0, 1]}} or {{"prompt", "ranked": […]}}, best first.',
    ),
    "ranking_not_list": ("{key} is {kind}, not a list.", "Make it a list, best first. A list inside it is a tie."),
    "too_few_responses": ("{key} has {responses}.", "Add two or more, or remove the row."),
    "ranking_not_a_response": (
        "The entry is not the number of a response.",
        "Count responses from 0: use whole numbers from 0 to {last}, or a list of some that are tied.",
    ),
    "ranked_twice": ("The response {number} is ranked twice.", "Rank every response once."),
    "ranking_empty_tie": ("The tie is empty.", "Remove it, or add its responses."),
    "ranking_incomplete": ("The ranking leaves out {responses}.", "Rank every response once, with ties in a list."),
    "ranking_all_tied": ("All responses in {key} are tied, so there is nothing to prefer.", "Remove the row."),
    # a prompt and its completion, an instruction and its output
    "missing_text": ("The row has no {key}.", "{rename}Add both the question and the answer."),
    "text_not_string": ("{key} is {kind}, not a string.", "Make it a string."),
    "empty_text": ("{key} is empty.", "Fill it in, or remove the row."),
    "history_unsupported": (
        "The row has a 'history' of earlier turns, which would be lost.",
        'Write the row as {{"messages": […]}} with those turns in it.',
    ),
}

# What is no error, but may not be what was meant
NOTES: dict[str, tuple[str, str]] = {
    "answer_is_an_item": (
        "The rows have a prompt and no completion. {key} is for graders, as item.<key>, and nothing is trained on it.",
        "To train on it, rename {key} to 'completion'.",
    ),
    "text_in_html": (
        "Texts of {rows} are wrapped in HTML, such as <p>…</p>, or have escaped tags, such as &lt;think&gt;. Training "
        "keeps the HTML as it is.",
        "If the model should not write HTML, remove the tags and unescape the text, such as with html.unescape, and "
        "upload the file again.",
    ),
    "keys_not_used": (
        "Training does not use {keys} of {rows}: rows of this shape have no such key.",
        'To train on them, write the rows as {{"messages": […]}} with a system message, and reasoning in the content.',
    ),
    "names_in_messages": (
        "Messages of {rows} have a name. Most chat templates do not show names to the model.",
        "Look at the preview. If the names are missing there, write them into the content.",
    ),
    "csv_columns_renamed": (
        "Columns were read under the names that Fettle knows: {columns}.",
        "Nothing to do, unless another column was meant.",
    ),
    "csv_empty_rows": ("{count} without any text, and lines that are blank, were skipped.", "Nothing to do."),
    "csv_separator_line": (
        "The first line, sep=…, only says how columns are separated. It was skipped.",
        "Nothing to do.",
    ),
}

# What may make training worse; no row is refused for it
QUALITY: dict[str, tuple[str, str]] = {
    "likely_secrets": (
        "A password, an access key or a private key seems to be in {rows}. A model can repeat what it was trained on.",
        "Remove it, and replace keys that are in use.",
    ),
    "personal_data": (
        "Personal data seems to be in {rows}: an email address, or the number of a phone, card, account or person.",
        "Remove it or write placeholders, unless the model must know it.",
    ),
    "conflicting_answers": (
        "An earlier row answers the same prompt differently, or prefers what this one rejects: {rows}.",
        "Keep one of them, unless several answers are right.",
    ),
    "duplicate_rows": ("An earlier row says the same: {rows}. Training counts each of them.", "Remove the copies."),
    "known_in_training": (
        "The training file has the prompt as well: {rows} of the validation file.",
        "Remove them from one of the files: they make the model look better than it is.",
    ),
    "empty_answers": (
        "The answer is a placeholder, such as n/a, or a template with gaps that nobody filled in: {rows}.",
        "Write the answer, or remove the row.",
    ),
    "same_answer": ("The same answer follows different prompts: {rows}.", "Check that it is meant."),
    "long_rows": (
        "The row is more than ten times as long as the median row: {rows}. A job may leave such rows out.",
        "Look at them in the preview. Split or remove those that do not belong here.",
    ),
    "labels_unbalanced": (
        "The answers are labels, and over 90 % of {rows} have the same one. A model can learn to say nothing else.",
        "Add rows with the other labels, or remove some with this one.",
    ),
    "mixed_reasoning": (
        "Some answers show their reasoning and others do not. The smaller part is {rows}.",
        "Decide for one of them, unless the prompt says which is wanted.",
    ),
}

# No line or row is to blame
OF_THE_FILE = frozenset(
    {
        "empty_file",
        "gzip_file",
        "zip_file",
        "zstd_file",
        "bzip2_file",
        "xz_file",
        "archive_file",
        "arrow_file",
        "spreadsheet_file",
        "hub_metadata",
        "plain_text",
        "no_dataset_file",
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
