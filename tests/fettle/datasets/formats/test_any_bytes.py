"""Whatever a file holds, validation ends in a report, and a file that passes can be read."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fettle.datasets.formats.problem_codes import PROBLEMS
from fettle.datasets.formats.reading import conversations
from fettle.datasets.formats.validation import validate
from tests.fettle.datasets.formats.given import ASSISTANT, GOOD, USER

PIECES = [
    GOOD,
    b"\n",
    b"\r",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\0",
    b"\\u0000",
    b"\xef\xbb\xbf",
    b"NaN",
]
BYTES = st.binary(max_size=200)
BROKEN = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=5)), max_size=20).map(b"".join)

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
ROLES = st.one_of(st.sampled_from(["system", "user", "assistant", "tool"]), VALUES)
KEYS = st.sampled_from(["role", "content", "weight", "name", "tool_calls", "tool_call_id", "other"])
MESSAGES = st.one_of(
    st.sampled_from([USER, ASSISTANT]), VALUES, st.fixed_dictionaries({"role": ROLES}), st.dictionaries(KEYS, VALUES)
)
TURNS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"from": st.sampled_from(["human", "gpt", "system", "bot"]), "value": VALUES}),
    st.just({"from": "gpt", "value": "5"}),
)
ROWS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"messages": st.one_of(st.lists(MESSAGES, max_size=4), VALUES)}, optional={"tools": VALUES}),
    st.dictionaries(st.sampled_from(["prompt", "completion", "Prompt", "Completion", "answer"]), VALUES),
    st.dictionaries(st.sampled_from(["instruction", "input", "output", "system", "history"]), VALUES),
    st.fixed_dictionaries({"prompt": st.lists(MESSAGES, max_size=3), "completion": st.lists(MESSAGES, max_size=3)}),
    st.fixed_dictionaries({"conversations": st.one_of(st.lists(TURNS, max_size=4), VALUES)}),
)
ODD_ROWS = st.lists(ROWS, max_size=5).map(lambda rows: "\n".join(json.dumps(row) for row in rows).encode())
CELLS = st.one_of(st.sampled_from(["5", "", '"', '""', ",", "\n", "\r", "x", "[]"]), st.text(max_size=3))
TABLES = st.lists(st.lists(CELLS, max_size=3), max_size=5).map(
    lambda rows: "\n".join(["prompt,completion", *(",".join(row) for row in rows)]).encode(errors="replace")
)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, database=None)
@given(st.one_of(BYTES, BROKEN, ODD_ROWS, TABLES))
def test_any_file_gives_a_report_and_a_good_one_can_be_read(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.jsonl"
        file.write_bytes(content)
        found = validate(file, max_row_bytes=1000)
        assert found.ok == (not found.errors) == (found.error_count == 0)
        assert {problem.code for problem in found.errors} <= set(PROBLEMS)
        assert all(1 <= problem.line <= content.count(b"\n") + 1 for problem in found.errors)
        json.dumps(found.to_json()).encode()
        if found.ok:
            read = [conversation for _, conversation in conversations(file)]
            assert len(read) == found.rows > 0
            if found.shape != "prompts":
                assert all(conversation.messages[-1]["role"] == "assistant" for conversation in read)
