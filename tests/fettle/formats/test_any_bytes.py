"""Whatever a file holds, validation ends in a report, and a file that passes can be read."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fettle.formats.problems import PROBLEMS
from fettle.formats.rows import read_messages
from fettle.formats.validation import validate
from tests.fettle.formats.given import ASSISTANT, GOOD, USER

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
KEYS = st.sampled_from(["role", "content", "weight", "name", "tool_calls", "other"])
MESSAGES = st.one_of(
    st.sampled_from([USER, ASSISTANT]), VALUES, st.fixed_dictionaries({"role": ROLES}), st.dictionaries(KEYS, VALUES)
)
ROWS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"messages": st.one_of(st.lists(MESSAGES, max_size=4), VALUES)}, optional={"tools": VALUES}),
    st.dictionaries(st.sampled_from(["prompt", "completion", "Prompt", "Completion", "answer"]), VALUES),
)
ODD_ROWS = st.lists(ROWS, max_size=5).map(lambda rows: "\n".join(json.dumps(row) for row in rows).encode())


@pytest.mark.slow
@settings(max_examples=400, deadline=None, database=None)
@given(st.one_of(BYTES, BROKEN, ODD_ROWS))
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
            conversations = list(read_messages(file))
            assert len(conversations) == found.rows > 0
            assert all(conversation[-1]["role"] == "assistant" for conversation in conversations)
