import io
import time
from functools import partial
from typing import cast

import orjson
import pytest

from fettle.rewards.graders import GraderProgress, Graders
from fettle.rewards.tools import Call
from worker.rewards import scorer_process
from worker.rewards.scorer_process import progress_of, reporting


def graders(*names: str) -> Graders:
    check = {"type": "string_check", "operation": "eq", "input": "{{sample.output_text}}", "reference": "4"}
    return Graders([{"name": name, "weight": 1.0, "grader": check} for name in names])


def test_between_batches_there_is_no_progress() -> None:
    assert progress_of(graders("equal"), 10.0) is None


def test_the_grader_that_the_batch_waits_for_is_named_with_its_seconds() -> None:
    found = graders("equal", "kind")
    found.current = GraderProgress("kind", done=1, since=10.0)
    line = progress_of(found, 22.4)
    assert line == {"done": 1, "total": 2, "unit": "graders", "slow": "the grader 'kind' (12 s)"}


def test_a_judge_counts_its_answers() -> None:
    found = graders("kind")
    found.current = GraderProgress("kind", done=0, since=10.0)
    found.judge.question_count, found.judge.answer_count = 8, 3
    line = progress_of(found, 11.0)
    assert line is not None
    assert (line["done"], line["total"], line["unit"]) == (3, 8, "answers of the judge")


def test_lines_come_while_a_batch_takes_long_and_none_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_process, "REPORT_SECONDS", 0.01)
    found, out = graders("kind"), io.BytesIO()
    with reporting(partial(progress_of, found), cast(io.BufferedIOBase, out)):  # type: ignore[arg-type]
        found.current = GraderProgress("kind", done=0, since=time.monotonic())
        deadline = time.monotonic() + 60
        while not out.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    lines = [orjson.loads(line) for line in out.getvalue().splitlines()]
    assert lines
    assert {line["progress"]["slow"][:17] for line in lines} == {"the grader 'kind'"}
    before = len(out.getvalue())
    time.sleep(0.05)
    assert len(out.getvalue()) == before


def test_tools_are_opened_once_and_called_in_order() -> None:
    state, out = scorer_process.Opened(), cast(io.BufferedIOBase, io.BytesIO())
    tool = {"name": "add", "source": "seen = []\ndef add(a):\n    seen.append(a)\n    return len(seen)\n"}
    limits = {"seconds": 5.0, "memory_bytes": 1 << 30}
    calls = [{"name": "add", "arguments": '{"a": 1}'}, {"name": "add", "arguments": "[]"}]
    try:
        first = state.call({"tools": [tool], "calls": calls, "limits": limits}, out)  # type: ignore[arg-type]
        second = state.call({"tools": [tool], "calls": calls[:1], "limits": limits}, out)  # type: ignore[arg-type]
    finally:
        state.close()
    assert first["results"][0] == {"text": "1", "failed": False}
    assert first["results"][1]["failed"] and first["sandbox"]
    assert second["results"] == [{"text": "2", "failed": False}]


def test_while_tools_are_called_the_one_that_is_waited_for_is_named() -> None:
    calls = [Call("add", "{}"), Call("search", "{}")]
    line = scorer_process.calls_done(calls, 1)
    assert line == {"done": 1, "total": 2, "unit": "tool calls", "slow": "the tool 'search'"}
    assert scorer_process.calls_done(calls, 2) is None
