"""Nothing that others wrote moves a terminal, turns text around, or passes for our own markup."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fettle.cli import dry_run_view, job_progress, token_view
from fettle.cli.terminal import inside_markup, plain, printable

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u2066x\ud800\x00\u2028[/bold][red]hi[/][link=http://x]y"
FORBIDDEN = ("\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\ud800", "\x00", "\u2028")


def shown(show: Any) -> str:
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    show(console)
    out = console.file.getvalue()  # type: ignore[attr-defined]
    for sign in FORBIDDEN:
        assert sign not in out
    return str(out)


@given(st.text(st.characters()))
def test_any_text_can_be_written_and_obeys_nobody(text: str) -> None:
    safe = printable(text)
    safe.encode()
    assert len(safe) == len(text)
    assert not any((ord(sign) < 32 and sign not in "\n\t") or 0x7F <= ord(sign) < 0xA0 for sign in safe)
    assert shown(lambda console: console.print(plain(text), soft_wrap=True)) is not None
    shown(lambda console: console.print(f"[dim]{inside_markup(text)}[/]", soft_wrap=True))


@pytest.mark.parametrize("text", ["naïve 中文 ½\n\tx", "👩‍👩‍👧", "می‌خواهم"])
def test_what_people_write_stays(text: str) -> None:
    assert printable(text) == text


def test_a_jobs_events_and_its_rewards_names() -> None:
    events = [
        {"type": "message", "level": NASTY, "message": NASTY, "data": {}},
        {
            "type": "metrics",
            "level": "info",
            "message": "",
            "data": {"train_reward_mean": 1.0, f"rewards/{NASTY}/mean": 1.0, "step": 1, "total_steps": 2},
        },
    ]
    out = shown(lambda console: job_progress.watch(events, console))
    assert "[red]hi" in out  # as it was written, and not in red


def test_a_dry_run() -> None:
    spread = {"mean": 1.0, "std": 0.0, "min": 0.0, "max": 1.0}
    example = {
        "reward": 1.0,
        "scores": {NASTY: 1.0},
        "stop_reason": "stop",
        "prompt": [{"content": NASTY}],
        "completion": NASTY,
    }
    found = {
        "model": NASTY,
        "prompts": 1,
        "samples": 2,
        "completion_length_mean": 1.0,
        "seconds": dict.fromkeys(("generation", "generation_per_sample", "scoring", "scoring_per_sample"), 1.0),
        "dead_groups": None,
        "groups": 1,
        "refused": 0,
        "unfinished": 0,
        "scores": {NASTY: spread},
        "rewards": spread,
        "examples": [example],
        "failures": [{"count": 1, "grader": NASTY, "message": NASTY}],
        "warnings": [{"message": NASTY}],
    }
    assert "[red]hi" in shown(lambda console: dry_run_view.show(found, console))


def test_a_preview() -> None:
    row = {"line": 1, "tokens": [NASTY], "loss_mask": [1], "token_count": 1, "supervised_tokens": 1}
    summary = {"rows": 1, "complete": True, "format": NASTY, "shape": "chat", "tokens": 1, "supervised_share": 1.0}
    summary |= {"row_tokens": None, "rows_too_long": None, "rows_without_completion": 0, "max_seq_length": None}
    seen = {"rows": [{**row, "cut": False, "too_long": None}], "summary": summary}
    assert "[red]hi" in shown(lambda console: token_view.show(seen, console))
