"""`fettle files` against a real API."""

from pathlib import Path

import pytest

from tests.api.tenants import jsonl
from tests.fettle.cli.conftest import Shell


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "sums.jsonl"
    file.write_bytes(jsonl(12))
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """30 rows whose messages are a number."""
    file = tmp_path / "bad.jsonl"
    file.write_text('{"messages": 5}\n' * 30)
    return file


def test_a_file_is_uploaded_listed_shown_downloaded_and_deleted(asking: Shell, rows: Path) -> None:
    said = asking.ok("files", "upload", str(rows))
    file_id = said.split()[0]
    assert "12 rows, jsonl, prompt_completion" in said
    (line,) = [line for line in asking.ok("files", "list").splitlines() if file_id in line]
    assert line.split()[1:3] == ["processed", "12"]
    assert line.endswith("sums.jsonl")
    assert asking.json("files", "show", file_id)["filename"] == "sums.jsonl"
    asking.ok("files", "download", file_id, "--to", "copy.jsonl")
    assert Path("copy.jsonl").read_bytes() == rows.read_bytes()
    assert asking.ok("files", "delete", file_id) == f"{file_id} deleted\n"
    assert repr(file_id) in asking.refused("files", "show", file_id)


def test_what_may_make_training_worse_is_shown_after_the_upload(asking: Shell, tmp_path: Path) -> None:
    file = tmp_path / "twice.jsonl"
    file.write_bytes(jsonl(12) + b"\n" + jsonl(12))
    said = asking.ok("files", "upload", str(file))
    assert "An earlier row says the same: 12 rows." in said and "(lines 13, 14, 15, 16, 17, …)" in said
    assert asking.ok("preview", said.split()[0], "--quality").startswith("24 rows. Characters of a row:")


def test_every_problem_of_a_file_is_shown_up_to_the_limit_and_the_others_are_counted(asking: Shell, bad: Path) -> None:
    code, out, _ = asking.run("files", "upload", str(bad))
    assert code == 1
    assert out.count("'messages' is a number, not a list.") == 20
    assert "line 20, messages" in out
    assert "20 of 30 problems are shown. Use --limit 50 to see more." in out
    file_id = out.split()[0]
    assert asking.ok("files", "show", file_id, "--limit", "50").count("'messages' is a number, not a list.") == 30


def test_a_download_never_overwrites_a_file(asking: Shell, rows: Path) -> None:
    file_id = asking.json("files", "upload", str(rows))["id"]
    assert "sums.jsonl exists" in asking.refused("files", "download", file_id)
    assert rows.read_bytes() == jsonl(12)


def test_a_file_that_is_not_there_is_named(asking: Shell) -> None:
    assert asking.refused("files", "upload", "none.jsonl") == "none.jsonl cannot be read: No such file or directory."
    assert "is a folder. It is empty. Name one file" in asking.refused("files", "upload", ".")
    Path("saved").mkdir()
    Path("saved/state.json").write_text("{}")
    assert "datasets.load_from_disk('saved').to_json('train.jsonl')" in asking.refused("files", "upload", "saved")
