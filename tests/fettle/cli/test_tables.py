"""Lists and facts in terminals of several widths: nothing cut, nothing wider than the terminal."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from fettle.cli import tables, terminal

COLUMNS = ("id", "status", "base model", "tuned model")
ROWS = [
    ("ftjob-0123456789abcdefghijklmn", "succeeded", "starter", "ft:starter:default:mine:0123456789abcdefghijklmn"),
    ("ftjob-1", "queued", "模型模型模型模型", ""),
]


def shown(width: int | None, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, ...]] = ROWS) -> list[str]:
    """width: of a terminal; None for a pipe."""
    console = Console(file=io.StringIO(), width=width or 80, force_terminal=width is not None, color_system=None)
    monkeypatch.setattr(tables, "console", console)
    monkeypatch.setattr(tables, "uncut", Console(file=console.file, width=1000, force_terminal=False))
    tables.show(COLUMNS, rows, nothing="There are none.")
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def test_a_wide_terminal_and_a_pipe_get_a_line_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (120, None):
        head, first, second = shown(width, monkeypatch)
        assert first.split() == list(ROWS[0])
        assert second.split() == list(ROWS[1][:3])
        assert head.index("status") == first.index("succeeded") == second.index("queued")


@pytest.mark.parametrize("width", [80, 60, 40, 20])
def test_a_narrow_one_gets_what_does_not_fit_below_and_loses_nothing(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(width, monkeypatch)
    everything = "".join(lines).replace(" ", "")
    for row in ROWS:
        assert all(cell.replace(" ", "") in everything for cell in row)
    assert all(cell_len(line) <= max(width, cell_len(ROWS[0][0])) for line in lines)


def test_an_empty_list_says_so_in_a_terminal_and_is_a_header_for_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(80, monkeypatch, []) == ["There are none."]
    assert len(shown(None, monkeypatch, [])) == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0.00"), (0.5, "0.50"), (-12.345, "-12.35"), (0.0312, "0.031"), (0.00031, "0.00031"), (3.1e-7, "3.1e-07")],
)
def test_a_small_loss_keeps_its_digits(value: float, said: str) -> None:
    assert terminal.figure(value) == said


def test_json_is_valid_and_moves_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    nasty = "é中\x1b[2J\x9b\u202e\u2028\x7f"
    terminal.show_json({"text": nasty})
    out = capsys.readouterr().out
    assert json.loads(out) == {"text": nasty}
    assert "é中" in out
    assert not any(sign in out for sign in nasty[2:] if sign not in "[2J")
