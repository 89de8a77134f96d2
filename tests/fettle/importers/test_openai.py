"""`fettle import openai`, from an account made of the SDK's types into a real API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fettle.cli.conftest import Server, Shell
from tests.fettle.importers.account_server import KEY, RFT, SFT, TUNED, AccountServer, chat, lines

ALL = ("import", "openai", "--base", "starter")


def rows(shell: Shell, *words: str, code: int = 1) -> dict[str, dict[str, Any]]:
    """The report's rows by kind and id. code: 1 while something cannot come."""
    ended, out, err = shell.run(*ALL, *words, "--json")
    assert (ended, err) == (code, "")
    return {f"{row['kind']} {row['id']}": row for row in json.loads(out)}


@pytest.fixture
def empty(server: Server, moving: Shell) -> Iterator[Shell]:
    """No test sees what another has imported."""
    yield moving
    for kind, found in (("files", moving.json("files", "list", "--limit", "100")["data"]), ("evals", evals(server))):
        for each in found:
            delete(server, f"/v1/{kind}/{each['id']}")


def evals(server: Server) -> list[dict[str, Any]]:
    return list(ask(server, "GET", "/v1/evals?limit=100").json()["data"])


def ask(server: Server, method: str, path: str, **options: Any) -> Any:
    import httpx

    return httpx.request(method, server.url + path, headers={"Authorization": f"Bearer {server.key}"}, **options)


def delete(server: Server, path: str) -> None:
    assert ask(server, "DELETE", path).is_success


def test_a_dry_run_says_what_would_come_and_changes_nothing(empty: Shell, server: Server) -> None:
    found = rows(empty, "--base", "gpt-4o-mini=starter")
    assert found["file file-train"]["result"] == "would be uploaded and checked"
    assert found[f"job {SFT}"]["outcome"] == found["eval eval_same"]["outcome"] == "came"
    assert found["eval eval_logs"]["outcome"] == "came"
    assert found["eval eval_bare"]["outcome"] == "cannot come"
    assert not Path("openai-export").exists()
    assert empty.json("files", "list")["data"] == evals(server) == []


def test_everything_that_can_come_comes_and_the_rest_says_why(empty: Shell, server: Server) -> None:
    found = rows(empty, "--yes")
    outcomes = {name: row["outcome"] for name, row in found.items()}
    assert {name for name, outcome in outcomes.items() if outcome == "came"} == {
        *("file file-train", "file file-valid", "file file-prompts", "file file-rows"),
        *(f"job {SFT}", f"job {RFT}", "eval eval_same", "eval eval_logs"),
    }
    assert outcomes["file file-vision"] == "cannot come"
    assert found["file file-vision"]["result"].startswith("line 1, messages[0].content[1]")
    assert "10 more problems" in found["file file-vision"]["result"]
    assert "No such File object." in found["file file-old"]["result"]
    assert found["job ftjob-old"]["result"] == "Its training file file-old did not come."
    assert found["job ftjob-bad"]["result"] == "It failed at OpenAI: too few rows"
    assert "does not release the weights" in found[f"model {TUNED}"]["result"]
    assert found[f"checkpoints {SFT}"]["result"].startswith("3 checkpoints: steps and metrics")
    assert found["eval eval_bare"]["result"] == "Its schema has no 'item'."
    assert found["files assistants"]["outcome"] == "left there"
    assert Path("openai-export/files/file-curve").read_bytes().startswith(b"step,train_loss")
    names = {each["filename"]: each["purpose"] for each in empty.json("files", "list")["data"]}
    assert names["file-rows-file-rows.jsonl"] == "evals"
    assert len(names) == 4
    made, logs = evals(server)
    assert logs["data_source_config"]["type"] == "logs"
    assert made["metadata"] == {"openai_eval": "eval_same"}
    assert [each["type"] for each in made["testing_criteria"]] == ["string_check", "score_model"]
    assert made["testing_criteria"][1]["model"] == "starter"


def test_a_job_that_came_runs_and_says_where_it_is_from(empty: Shell) -> None:
    found = rows(empty, "--yes")
    body = json.loads(Path(f"openai-export/jobs/{SFT}.json").read_text())
    assert body["method"] == {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}
    assert body["metadata"]["team"] == "blue"
    notes = " ".join(found[f"job {SFT}"]["notes"])
    assert "batch_size 1 and learning_rate_multiplier 1.8" in notes
    assert "'wandb' is left out" in notes
    assert "'support bot' became 'support-bot'" in notes
    job = empty.json("train", f"openai-export/jobs/{SFT}.json")
    assert (job["model"], job["user_provided_suffix"], job["seed"]) == ("starter", "support-bot", 7)
    assert job["metadata"]["openai_model"] == TUNED
    empty.ok("jobs", "cancel", job["id"])
    reinforced = empty.json("train", f"openai-export/jobs/{RFT}.json")
    assert reinforced["method"]["reinforcement"]["grader"]["model"] == "starter"
    assert "eval_interval 5 is left out" in " ".join(found[f"job {RFT}"]["notes"])
    empty.ok("jobs", "cancel", reinforced["id"])


def test_hyperparameters_of_the_other_model_are_kept_on_request(empty: Shell) -> None:
    rows(empty, "--yes", "--keep-hyperparameters")
    body = json.loads(Path(f"openai-export/jobs/{SFT}.json").read_text())
    kept = body["method"]["supervised"]["hyperparameters"]
    assert kept == {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.8}


def test_nothing_comes_twice_though_the_state_is_lost(
    empty: Shell, server: Server, account: tuple[AccountServer, str]
) -> None:
    first = rows(empty, "--yes")
    downloads = account[0].asked["files/file-train/content"]
    for state in (True, False):
        if not state:
            Path("openai-export/imported.json").unlink()
        again = rows(empty, "--yes")
        came = first["file file-train"]["result"].split(",")[0]
        assert again["file file-train"]["result"] == f"{came}, which came earlier"
        assert again["eval eval_same"]["result"] == f"{first['eval eval_same']['result']}, which came earlier"
    assert len(empty.json("files", "list", "--limit", "100")["data"]) == 4
    assert len(evals(server)) == 2
    assert account[0].asked["files/file-train/content"] == downloads == 1


def test_a_run_that_was_cut_off_continues(empty: Shell, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the upload and before the state is written: the worst moment."""

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("fettle.importers.folder.Imported.remember", cut)
        assert empty.run(*ALL, "--yes")[0] != 0
    assert [each["filename"] for each in empty.json("files", "list")["data"]] == ["file-train-train.jsonl"]
    rows(empty, "--yes")
    assert len(empty.json("files", "list")["data"]) == 4


def test_a_file_that_was_deleted_here_comes_again(empty: Shell, server: Server) -> None:
    file_id = rows(empty, "--yes")["file file-valid"]["result"].split(",")[0]
    delete(server, f"/v1/files/{file_id}")
    assert "which came earlier" not in rows(empty, "--yes")["file file-valid"]["result"]


def test_a_refused_file_comes_once_it_is_fixed_in_the_folder(empty: Shell) -> None:
    note = rows(empty, "--yes")["file file-vision"]["notes"][0]
    assert note == "Fix openai-export/files/file-vision, and run the import again."
    Path("openai-export/files/file-vision").write_bytes(lines(*(chat(n) for n in range(11))))
    found = rows(empty, "--yes", "--offline")
    assert found["file file-vision"]["outcome"] == found["job ftjob-sees"]["outcome"] == "came"


def test_what_a_folder_holds_stays_after_openai_has_ended_its_evals(
    empty: Shell, server: Server, account: tuple[AccountServer, str]
) -> None:
    said = empty.json("import", "openai", "--fetch")
    assert (said["files"], said["jobs"], said["checkpoints"], said["evals"], said["eval_runs"]) == (9, 6, 3, 3, 1)
    assert empty.json("files", "list")["data"] == []
    account[0].evals_ended = True
    found = rows(empty, "--yes")
    assert found["eval eval_same"]["outcome"] == "came"
    assert "has been shut down" in found["evals all"]["result"]


def test_the_folder_alone_is_enough(empty: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    empty.ok("import", "openai", "--fetch")
    monkeypatch.delenv("OPENAI_API_KEY")
    assert rows(empty, "--yes", "--offline")[f"job {SFT}"]["outcome"] == "came"


def test_a_busy_openai_is_waited_for(empty: Shell, account: tuple[AccountServer, str], waits: list[float]) -> None:
    account[0].limited = 3
    rows(empty)
    assert waits == [7.0, 7.0, 7.0]


def test_a_key_is_neither_printed_nor_stored(
    empty: Shell, account: tuple[AccountServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(empty, "--yes")
    stored = [path.read_bytes() for path in Path().rglob("*") if path.is_file()]
    assert stored and all(KEY.encode() not in content for content in stored)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-but-secret")
    said = empty.refused(*ALL, "--yes")
    assert said.startswith("Incorrect API key provided: ")
    assert "wrong" not in said
    assert account[0].asked["files"] > 1


def test_without_a_key_the_command_says_where_one_goes(empty: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert empty.refused(*ALL).startswith("OPENAI_API_KEY is not set.")
    assert "openai-export has no files.json" in empty.refused(*ALL, "--offline")


def test_a_base_that_is_not_here_is_named(empty: Shell) -> None:
    assert "'gpt-9' is not a base model here" in empty.refused("import", "openai", "--base", "o4-mini=gpt-9")


def test_a_list_that_repeats_its_page_ends_with_an_error(empty: Shell, account: tuple[AccountServer, str]) -> None:
    account[0].lists["files"] = account[0].lists["files"][:1] * 5
    assert "twice" in rows(empty)["files all"]["result"]


def test_the_table_says_what_comes_and_what_to_do_next(empty: Shell) -> None:
    code, out, _ = empty.run(*ALL)
    assert code == 1
    assert out.splitlines()[0] == "came          file file-train  train.jsonl"
    assert out.splitlines()[-2:] == [
        "14 came, 2 in the folder, 3 left there, 1 cannot come",
        "Nothing has been changed. Add --yes to import.",
    ]
