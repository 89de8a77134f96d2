"""Several cores find what one finds: the same report of any file, wherever its pieces are cut."""

from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats import parallel
from fettle.datasets.formats.parallel import certified_rows, check_on
from fettle.datasets.formats.validation import validate
from tests.fettle.datasets.formats.given import ASSISTANT, GOOD, USER, chat, line, message

LIMIT = 5000
BAD = chat(message("human", "x"), ASSISTANT)
CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
CALLING = chat(USER, message("assistant", None, tool_calls=[CALL]))
TOOLS = [{"type": "function", "function": {"name": "add"}}]
WITH_TOOLS = line({"messages": [USER, ASSISTANT], "tools": TOOLS})
PAIR = line({"prompt": "a", "completion": "b"})
LONG = chat(USER, message("assistant", "x" * 3000))

FILES: dict[str, bytes] = {
    "good": GOOD * 200,
    "without a last line end": (GOOD * 200)[:-1],
    "not plain": (GOOD + CALLING) * 100,
    "tools late": GOOD * 200 + WITH_TOOLS,
    "tools early, a bad row late": WITH_TOOLS + GOOD * 200 + BAD,
    "lines longer than a piece": (GOOD + LONG) * 20,
    "a line too long": GOOD * 100 + chat(USER, message("assistant", "x" * 9000)) + GOOD * 100,
    "a bad row early": GOOD + BAD + GOOD * 200,
    "a bad row late": GOOD * 200 + BAD,
    "bad rows": (GOOD * 30 + BAD) * 10,
    "blank lines at the end": GOOD * 200 + b"\n \n\n",
    "blank lines within": GOOD * 100 + b"\n\n" + GOOD * 100,
    "cut off": GOOD * 200 + GOOD[:20],
    "two shapes": GOOD * 100 + PAIR + GOOD * 100,
    "another shape": PAIR * 300,
    "a bad first row": BAD + GOOD * 200,
    "a first row of no shape": line({"text": "x"}) + GOOD * 200,
    "a first line that is no JSON": b"{\n" + GOOD * 200,
    "a repeated key": GOOD * 150 + b'{"messages": [], "messages": []}\n' + GOOD * 50,
    "csv": b"prompt,completion\n" + b"a,b\n" * 500,
    "empty": b"",
}


@pytest.mark.parametrize("name", FILES)
def test_the_report_is_that_of_one_process(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "PIECE", 1000)
    path = tmp_path / "data"
    path.write_bytes(FILES[name])
    with path.open("rb") as file:
        assert check_on(2, file, LIMIT) == validate(path, max_row_bytes=LIMIT)


def certified(path: Path, content: bytes) -> tuple[int, int]:
    path.write_bytes(content)
    with path.open("rb") as file:
        return certified_rows(2, file, "chat", LIMIT)[:2]


def test_what_is_certified_ends_before_the_first_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "PIECE", 10 * len(GOOD))
    path = tmp_path / "data"
    assert certified(path, GOOD * 95) == (95, 95 * len(GOOD))
    assert certified(path, GOOD * 55 + BAD + GOOD * 95) == (50, 50 * len(GOOD))
    assert certified(path, BAD + GOOD * 95) == (0, 0)


def test_every_row_that_is_not_plain_gets_a_closer_look(tmp_path: Path) -> None:
    rows: list[Any] = [PAIR, BAD, chat(USER), line({"messages": []}), line([1])]
    assert [certified(tmp_path / "data", GOOD + row)[0] for row in rows] == [0] * len(rows)
    assert certified(tmp_path / "data", CALLING * 3)[0] == 3
