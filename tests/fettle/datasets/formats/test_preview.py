"""A preview says what training does: the same ids, the same mask, the same counts."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fettle.datasets.formats import preview
from fettle.datasets.formats.preview import look
from fettle.datasets.formats.render import Renderer
from fettle.errors import InvalidRequest
from fettle.registry.catalog import STARTER
from tests.bases import NO_TOOLS
from tests.fettle.datasets.formats.given import ASSISTANT, USER, message

SHORT = {"messages": [USER, ASSISTANT]}
LONG = {"messages": [USER, message("assistant", "1 " * 100)]}


def seen(
    folder: Path,
    rows: list[Any],
    *,
    limit: int = 5,
    max_seq_length: int | None = None,
    whole: bool = True,
    base: Path = STARTER,
    offset: int = 0,
) -> Any:
    file = folder / "data"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return look(file, base, limit=limit, max_seq_length=max_seq_length, whole=whole, offset=offset)


def test_ids_and_mask_are_those_of_training(tmp_path: Path) -> None:
    (row,) = seen(tmp_path, [SHORT])["rows"]
    rendered = Renderer(STARTER).render(SHORT["messages"])
    assert row["token_ids"] == rendered.ids
    assert row["loss_mask"] == [int(counts) for counts in rendered.supervised]
    assert "".join(row["tokens"]) == Renderer(STARTER).text(SHORT["messages"])
    learned = [piece for piece, counts in zip(row["tokens"], row["loss_mask"], strict=True) if counts]
    assert learned == ["5", "<|im_end|>"]
    assert (row["line"], row["token_count"], row["supervised_tokens"]) == (1, len(rendered.ids), 2)


def test_the_figures_are_of_every_row(tmp_path: Path) -> None:
    short, long = (Renderer(STARTER).render(row["messages"]) for row in (SHORT, LONG))
    counts = len(short.ids), len(long.ids)
    tokens, learned = 2 * counts[0] + counts[1], 2 * sum(short.supervised) + sum(long.supervised)
    found = seen(tmp_path, [SHORT, LONG, SHORT], limit=1, max_seq_length=60)
    assert len(found["rows"]) == 1
    assert found["summary"] == {
        "format": "jsonl",
        "shape": "chat",
        "rows": 3,
        "complete": True,
        "tokens": tokens,
        "supervised_tokens": learned,
        "supervised_share": round(learned / tokens, 4),
        "row_tokens": {"min": counts[0], "median": counts[0], "max": counts[1]},
        "length_histogram": preview.histogram([counts[0], counts[1], counts[0]]),
        "rows_without_completion": 0,
        "lines_without_completion": [],
        "max_seq_length": 60,
        "rows_too_long": 1,
        "lines_too_long": [2],
    }
    assert [row["too_long"] for row in seen(tmp_path, [SHORT, LONG], max_seq_length=60)["rows"]] == [False, True]


@pytest.mark.parametrize(
    ("lengths", "bars"),
    [
        ([], []),
        ([7, 7], [(7, 8, 2)]),
        ([1, 3], [(1, 2, 1), (2, 3, 0), (3, 4, 1)]),
        ([10, 11, 49], [(10, 12, 2), *[(n, n + 2, 0) for n in range(12, 48, 2)], (48, 50, 1)]),
    ],
)
def test_lengths_are_counted_in_bars_of_one_width(lengths: list[int], bars: list[tuple[int, int, int]]) -> None:
    assert [(bar["start"], bar["end"], bar["rows"]) for bar in preview.histogram(lengths)] == bars


def test_the_work_is_bounded_in_rows_tokens_and_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "MAX_SHOWN", 10)
    monkeypatch.setattr(preview, "MAX_ROWS", 4)
    found = seen(tmp_path, [SHORT] * 6)
    assert (found["summary"]["rows"], found["summary"]["complete"]) == (4, False)
    assert {len(row["tokens"]) for row in found["rows"]} == {len(row["loss_mask"]) for row in found["rows"]} == {10}
    assert all(row["cut"] and row["token_count"] > 10 for row in found["rows"])
    assert seen(tmp_path, [SHORT] * 4)["summary"]["complete"]
    monkeypatch.setattr(preview, "MAX_TOKENS", seen(tmp_path, [SHORT])["summary"]["tokens"])
    assert seen(tmp_path, [SHORT] * 4)["summary"]["rows"] == 2


def test_rows_from_the_middle_have_their_lines_and_figures(tmp_path: Path) -> None:
    found = seen(tmp_path, [SHORT, SHORT, LONG, SHORT, LONG], limit=2, max_seq_length=60, offset=2)
    assert [row["line"] for row in found["rows"]] == [3, 4]
    assert (found["summary"]["rows"], found["summary"]["lines_too_long"]) == (3, [3, 5])
    assert found["summary"]["complete"]
    assert seen(tmp_path, [SHORT], offset=5)["rows"] == []


def test_what_is_shown_of_many_rows_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = seen(tmp_path, [SHORT])["rows"]
    monkeypatch.setattr(preview, "ALL_SHOWN", row["token_count"] + 3)
    rows = seen(tmp_path, [SHORT] * 3)["rows"]
    assert [len(each["tokens"]) for each in rows] == [row["token_count"], 3, 0]
    assert [each["cut"] for each in rows] == [False, True, True]
    assert [each["token_count"] for each in rows] == [row["token_count"]] * 3


def test_the_beginning_of_a_file_is_not_all_of_it(tmp_path: Path) -> None:
    assert not seen(tmp_path, [SHORT], whole=False)["summary"]["complete"]


def test_a_row_that_the_template_cannot_show_is_refused_by_its_line(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "add"}}]
    base = shutil.copytree(STARTER, tmp_path / "base")
    (base / "chat_template.jinja").write_text(NO_TOOLS)
    with pytest.raises(InvalidRequest, match=r"^Line 2: The row has 'tools'") as raised:
        seen(tmp_path, [SHORT, {**SHORT, "tools": tools}], base=base)
    assert (raised.value.code, raised.value.param) == ("tools_unsupported", "model")


def test_a_base_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((STARTER / name).read_bytes())
    file = tmp_path / "data"
    file.write_text(json.dumps(SHORT))
    with pytest.raises(InvalidRequest) as raised:
        look(file, tmp_path, limit=1, max_seq_length=None, whole=True)
    assert raised.value.code == "no_chat_template"
