"""Ids, labels and counts of real rows under the starter's tokenizer."""

import shutil
from pathlib import Path

import pytest

from fettle.datasets.formats.render import Renderer
from fettle.errors import TrainingFailed
from fettle.registry.catalog import STARTER
from tests.bases import NO_TOOLS
from tests.worker.training.children import Row, rows, write_rows

pytestmark = pytest.mark.slow  # datasets and pyarrow take seconds to import

SHORT = {"prompt": "1 + 1?", "completion": "2"}
LONG = {"prompt": "Count.", "completion": "1 " * 200}
SILENT = {
    "messages": [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2", "weight": 0}],
}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(STARTER)


def read(folder: Path, lines: list[Row], renderer: Renderer, max_seq_length: int = 100):  # type: ignore[no-untyped-def]
    from worker.training.data import supervised

    path = folder / "train.jsonl"
    write_rows(path, lines)
    return supervised.read(path, renderer, max_seq_length, "training_file")


def lessons(row: Row, renderer: Renderer) -> str:
    """The labels that count, as text, special tokens too."""
    ids = [label for label in row["labels"] if label != -100]
    return str(renderer.tokenizer.decode(ids, skip_special_tokens=False))


def test_the_labels_are_the_completion_and_its_end_token(tmp_path: Path, renderer: Renderer) -> None:
    lines = rows(5)
    examples = read(tmp_path, lines, renderer)
    assert [lessons(row, renderer) for row in examples.dataset] == [row["completion"] + "<|im_end|>" for row in lines]


def test_a_label_stands_at_its_own_token(tmp_path: Path, renderer: Renderer) -> None:
    (row,) = read(tmp_path, rows(1), renderer).dataset
    assert len(row["labels"]) == len(row["input_ids"])
    assert all(label in (-100, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))


def test_only_the_turns_that_weigh_something_are_learned(tmp_path: Path, renderer: Renderer) -> None:
    turns = [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "3", "weight": 0},
        {"role": "user", "content": "No."},
        {"role": "assistant", "content": "2", "weight": 1},
    ]
    (row,) = read(tmp_path, [{"messages": turns}], renderer).dataset
    assert lessons(row, renderer) == "2<|im_end|>"


def test_a_tenth_of_the_rows_may_be_left_out_and_is_counted(tmp_path: Path, renderer: Renderer) -> None:
    examples = read(tmp_path, [*[SHORT] * 18, LONG, LONG], renderer)
    assert len(examples.dataset) == 18
    assert (examples.rows, examples.too_long, examples.unsupervised) == (20, 2, 0)
    assert examples.longest == len(renderer.render([*_messages(LONG)]).ids)
    assert examples.tokens == 18 * len(renderer.render([*_messages(SHORT)]).ids)
    assert examples.supervised_tokens == 18 * 2  # the digit and the end token


def _messages(row: Row) -> list[dict[str, str]]:
    return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]


def test_more_than_a_tenth_too_long_is_refused_with_the_longest_and_the_way_out(
    tmp_path: Path, renderer: Renderer
) -> None:
    longest = len(renderer.render(_messages(LONG)).ids)
    with pytest.raises(TrainingFailed) as failure:
        read(tmp_path, [*[SHORT] * 17, LONG, LONG], renderer)
    assert (failure.value.code, failure.value.param) == ("rows_too_long", "max_seq_length")
    assert "2 of the 19 rows of training_file have more than max_seq_length=100 tokens" in failure.value.message
    assert f"the longest has {longest}. Shorten or remove these rows" in failure.value.message


def test_a_row_of_exactly_the_longest_length_stays(tmp_path: Path, renderer: Renderer) -> None:
    length = len(renderer.render(_messages(LONG)).ids)
    assert len(read(tmp_path, [LONG], renderer, max_seq_length=length).dataset) == 1
    with pytest.raises(TrainingFailed, match=f"max_seq_length={length - 1} "):
        read(tmp_path, [LONG], renderer, max_seq_length=length - 1)


@pytest.mark.parametrize("content", [b"prompt,completion\r\n1 + 1?,2\r\n", "parquet"])
def test_a_table_is_trained_on_as_it_was_uploaded(content: bytes | str, tmp_path: Path, renderer: Renderer) -> None:
    import pyarrow
    import pyarrow.parquet

    from worker.training.data import supervised

    path = tmp_path / "train"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([SHORT]), path)
    (row,) = supervised.read(path, renderer, 100, "training_file").dataset
    (expected,) = read(tmp_path, [SHORT], renderer).dataset
    assert row == expected


def test_a_row_that_the_template_cannot_show_fails_the_job_with_its_line(tmp_path: Path) -> None:
    base = shutil.copytree(STARTER, tmp_path / "base")
    (base / "chat_template.jinja").write_text(NO_TOOLS)
    renderer = Renderer(base)
    tool = {"type": "function", "function": {"name": "add"}}
    messages = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]
    with pytest.raises(TrainingFailed, match=r"^Line 2 of training_file: The row has 'tools'") as failure:
        read(tmp_path, [{"messages": messages}, {"messages": messages, "tools": [tool]}], renderer)
    assert (failure.value.code, failure.value.param) == ("tools_unsupported", "training_file")


def test_a_file_that_was_damaged_since_its_upload_fails_the_job(tmp_path: Path, renderer: Renderer) -> None:
    from worker.training.data import supervised

    path = tmp_path / "train"
    path.write_bytes(b'{"prompt": "1 + 1?", "completion": "2"}\n{"prompt": "1 + ')
    with pytest.raises(TrainingFailed, match="line 2: The last line ends in the middle of a row") as failure:
        supervised.read(path, renderer, 100, "training_file")
    assert failure.value.code == "file_unreadable"


def test_rows_with_nothing_to_learn_are_left_out_or_refused(tmp_path: Path, renderer: Renderer) -> None:
    examples = read(tmp_path, [*[SHORT] * 9, SILENT], renderer)
    assert (examples.rows, len(examples.dataset), examples.unsupervised) == (10, 9, 1)
    with pytest.raises(TrainingFailed) as failure:
        read(tmp_path, [*[SHORT] * 8, SILENT], renderer)
    assert (failure.value.code, failure.value.param) == ("rows_without_completion", "training_file")
    assert "1 of the 9 rows of training_file have nothing to learn" in failure.value.message
