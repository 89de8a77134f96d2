"""The commands as a person types them; errors as a person reads them."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import structlog
from rich.console import Console

from fettle.cli import token_view, up
from fettle.cli.client import Client
from fettle.cli.doctor import host
from fettle.settings import Settings
from fettle.tenancy import api_keys
from tests.fettle.cli.conftest import Shell

ROOT = Path(__file__).parents[3]
NEWEST = max(file.name[:4] for file in (ROOT / "migrations" / "versions").glob("0*.py"))


class TestSecrets:
    def test_two_that_disagree_are_told_without_the_others(self, shell: Shell) -> None:
        shell.set(LEASE_SECONDS=5, ENGINE_KEY="canary", METRICS_KEY="canary")
        assert shell.refused("migrate").startswith("FETTLE_LEASE_SECONDS=5 must be at least three times")

    def test_a_bad_one_shows_no_secret_wherever_it_is_read(self, shell: Shell) -> None:
        shell.set(LEASE_SECONDS=5, ENGINE_KEY="canary")
        with pytest.raises(ValueError, match="FETTLE_LEASE_SECONDS=5") as refused:
            Settings()
        assert "canary" not in str(refused.value)


class TestMigrate:
    def test_it_says_what_it_did_and_a_second_time_that_nothing_was_to_do(self, shell: Shell) -> None:
        assert shell.ok("migrate") == f"schema {NEWEST} (was empty)\n"
        assert shell.ok("migrate") == f"schema {NEWEST} (unchanged)\n"
        assert (shell.data / "fettle.db").is_file()

    def test_a_database_that_is_away_is_one_sentence(self, shell: Shell) -> None:
        shell.set(DATABASE_URL="postgresql+asyncpg://fettle:canary@127.0.0.1:1/fettle")
        sentence = shell.refused("migrate", code=3)
        assert "fettle doctor" in sentence or "postgresql" in sentence
        assert "canary" not in sentence


class TestKeys:
    def test_create_prints_the_key_and_nothing_else(self, migrated: Shell) -> None:
        out = migrated.ok("keys", "create", "laptop")
        assert api_keys.well_formed(out.removesuffix("\n"))

    def test_list_shows_every_key_but_no_key(self, migrated: Shell) -> None:
        first = migrated.ok("keys", "create", "laptop").strip()
        second = migrated.ok("keys", "create", "ci", "--project", "blue-team").strip()
        out = migrated.ok("keys", "list")
        for shown in ("laptop", "default", "ci", "blue-team", "live", first[:8], second[:8]):
            assert shown in out
        assert first[:12] not in out

    def test_a_script_gets_a_whole_row_on_one_line_however_long(self, migrated: Shell) -> None:
        name, project = "a key with a rather long name", "a-project-with-a-rather-long-name"
        migrated.ok("keys", "create", name, "--project", project)
        _, row = migrated.ok("keys", "list").splitlines()
        assert len(row) > 80
        assert name in row
        assert project in row
        assert "live" in row

    def test_a_name_is_shown_as_it_was_given(self, migrated: Shell) -> None:
        migrated.ok("keys", "create", "[red]alarm[/red] [/]")
        assert "[red]alarm[/red] [/]" in migrated.ok("keys", "list")

    def test_a_revoked_key_says_so(self, migrated: Shell) -> None:
        migrated.ok("keys", "create", "laptop")
        (row,) = [line for line in migrated.ok("keys", "list").splitlines() if "laptop" in line]
        key_id = row.split()[0]
        assert migrated.ok("keys", "revoke", key_id) == f"{key_id} revoked\n"
        (row,) = [line for line in migrated.ok("keys", "list").splitlines() if "laptop" in line]
        assert "revoked" in row

    @pytest.mark.parametrize("key_id", ["key_nobody", "[/x]", "[bold]", "key with spaces"])
    def test_an_unknown_id_is_named_as_it_was_given(self, migrated: Shell, key_id: str) -> None:
        sentence = migrated.refused("keys", "revoke", key_id)
        assert sentence == f"No API key has the id {key_id!r}; `fettle keys list` shows them."

    def test_a_bad_project_name_is_refused(self, migrated: Shell) -> None:
        assert "'Blue Team'" in migrated.refused("keys", "create", "x", "--project", "Blue Team")

    def test_before_the_migration_the_way_out_is_said(self, shell: Shell) -> None:
        shell.data.mkdir()
        for words in (["keys", "create", "x"], ["keys", "list"], ["keys", "revoke", "key_x"]):
            assert "`fettle migrate`" in shell.refused(*words)

    def test_scopes_and_an_end_are_shown(self, migrated: Shell) -> None:
        migrated.ok("keys", "create", "ci", "--scope", "files.read", "--scope", "chat", "--expires-in", "30d")
        (row,) = [line for line in migrated.ok("keys", "list").splitlines() if " ci " in line]
        assert "files.read chat" in row
        assert "live until" in row

    def test_a_scope_that_does_not_exist_is_named(self, migrated: Shell) -> None:
        assert "'nope'" in migrated.refused("keys", "create", "ci", "--scope", "nope")

    def test_a_duration_that_is_none_is_named(self, migrated: Shell) -> None:
        code, _, err = migrated.run("keys", "create", "ci", "--expires-in", "soon")
        assert code == 2
        assert "'soon'" in err

    def test_a_rotated_key_prints_its_successor_and_ends_after_the_grace(self, migrated: Shell) -> None:
        migrated.ok("keys", "create", "ci")
        key_id = migrated.ok("keys", "list").splitlines()[1].split()[0]
        assert api_keys.well_formed(migrated.ok("keys", "rotate", key_id, "--grace", "1h").strip())
        states = {line.split()[0]: "until" in line for line in migrated.ok("keys", "list").splitlines()[1:]}
        assert states == {key_id: True, f"{key_id}-2": False}
        assert f"{key_id}-2" in migrated.refused("keys", "rotate", key_id)


class TestProjects:
    def test_create_prints_the_id_and_list_shows_it(self, migrated: Shell) -> None:
        project_id = migrated.ok("projects", "create", "blue-team").strip()
        migrated.ok("projects", "quota", "blue-team", "queued_jobs=5", "bytes=20G")
        (row,) = [line for line in migrated.ok("projects", "list").splitlines() if project_id in line]
        assert "blue-team" in row
        assert "queued_jobs=5, bytes=20,000,000,000" in row

    def test_a_name_that_is_taken_is_refused(self, migrated: Shell) -> None:
        migrated.ok("projects", "create", "blue-team")
        assert "'blue-team' already" in migrated.refused("projects", "create", "blue-team")

    def test_quota_shows_use_and_limit_and_changes_what_is_named(self, migrated: Shell) -> None:
        migrated.set(QUOTA_FILES=7)
        migrated.ok("projects", "create", "blue-team")

        def limits(*changes: str) -> dict[str, list[str]]:
            lines = migrated.ok("projects", "quota", "blue-team", *changes).splitlines()
            return {line.split()[0]: line.split()[1:] for line in lines[1:]}

        assert limits()["files"] == ["0", "7"]
        assert limits("files=200k", "tokens=0")["files"] == ["0", "200,000"]
        changed = limits("files=none", "tokens=default")
        assert (changed["files"], changed["tokens"]) == (["0", "none"], ["0", "none"])
        assert limits("files=default")["files"] == ["0", "7"]

    @pytest.mark.parametrize("change", ["gpus=1", "files", "files=-1", "files=many", "files=1X"])
    def test_what_is_no_quota_is_named(self, migrated: Shell, change: str) -> None:
        migrated.ok("projects", "create", "blue-team")
        code, _, err = migrated.run("projects", "quota", "blue-team", "--", change)
        assert code == 2
        assert repr(change) in err

    def test_a_project_that_does_not_exist_is_named(self, migrated: Shell) -> None:
        assert "'nobody'" in migrated.refused("projects", "quota", "nobody")


class TestSettings:
    def test_a_bad_setting_is_one_sentence_that_names_it(self, shell: Shell) -> None:
        shell.set(PORT="abc")
        for words in (["up"], ["migrate"], ["doctor"], ["keys", "list"], ["jobs", "list"], ["api"], ["worker"]):
            sentence = shell.refused(*words)
            assert sentence.startswith("FETTLE_PORT='abc': "), words
            assert "whole number" in sentence

    def test_a_setting_that_is_no_json_is_named_too(self, shell: Shell) -> None:
        shell.set(MODEL_ALIASES="gpt-4o=starter")
        assert 'field "model_aliases"' in shell.refused("migrate")

    def test_so_it_is_in_a_real_shell(self, tmp_path: Path) -> None:
        env = {**os.environ, "FETTLE_PORT": "abc", "FETTLE_DATA": str(tmp_path)}
        ended = subprocess.run(
            [sys.executable, "-m", "fettle", "migrate"], env=env, cwd=ROOT, capture_output=True, text=True
        )
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("error FETTLE_PORT='abc': ")
        assert ended.stderr.count("\n") == 1


class TestJobs:
    def test_without_a_key_the_two_places_for_it_are_named(self, shell: Shell) -> None:
        shell.monkeypatch.delenv("FETTLE_API_KEY", raising=False)
        sentence = shell.refused("jobs", "list")
        assert "FETTLE_API_KEY" in sentence
        assert str(shell.data / "admin.key") in sentence

    def test_an_api_that_is_away_is_one_sentence(self, shell: Shell) -> None:
        shell.set(API_KEY="fk_x", URL=f"http://127.0.0.1:{up.free_port()}")
        assert "is not responding" in shell.refused("jobs", "list", code=3)
        for command in ("watch", "pause", "resume", "cancel"):
            assert "is not responding" in shell.refused("jobs", command, "ftjob-x", code=3)


class TestPreview:
    def test_a_file_is_shown_as_it_would_be_trained_on(self, shell: Shell, tmp_path: Path) -> None:
        table = tmp_path / "sums.csv"
        table.write_text("prompt,completion\n2 + 3 = ?,5\n[bold]\x1b[2J,6\n")
        out = shell.ok("preview", str(table), "--max-seq-length", "16")
        assert "2 + 3 = ?<|im_end|>" in out
        assert "5<|im_end|>" in out
        assert "[bold]�[2J" in out  # neither markup nor the terminal's own commands
        assert "2 rows (csv, prompt_completion)" in out
        assert "2 rows have more than 16 tokens" in out

    def test_what_is_learned_stands_out(self, tmp_path: Path) -> None:
        table = tmp_path / "sums.csv"
        table.write_text("prompt,completion\n2 + 3 = ?,5\n")
        console = Console(force_terminal=True, color_system="standard", width=100, file=io.StringIO())
        seen = token_view.of_path(table, "starter", Settings(), limit=1, max_seq_length=None)
        token_view.show(seen, console)
        assert isinstance(console.file, io.StringIO)
        out = console.file.getvalue()
        assert "\x1b[1;32m5\x1b[0m" in out
        assert "\x1b[2massistant\x1b[0m" in out

    def test_mistakes_are_one_sentence(self, shell: Shell, tmp_path: Path) -> None:
        bad = tmp_path / "bad.jsonl"
        bad.write_text('{"prompt": "x", "completion": null}\n')
        assert "Line 1, completion: The row has no 'completion'." in shell.refused("preview", str(bad))
        assert "does not exist" in shell.refused("preview", str(tmp_path / "none.jsonl"))
        assert "'gpt-9'" in shell.refused("preview", str(bad), "--model", "gpt-9")
        good = tmp_path / "good.csv"
        good.write_text("prompt,completion\n2 + 3 = ?,5\n")
        shell.set(MODEL_ALIASES='{"mini": "starter"}')
        plain = shell.ok("preview", str(good))
        assert shell.ok("preview", str(good), "--model", "ft:starter:acme:s:abc") == plain
        assert shell.ok("preview", str(good), "--model", "mini") == plain

    def test_quality_is_shown_with_lines_and_what_two_files_share(self, shell: Shell, tmp_path: Path) -> None:
        train, valid = tmp_path / "train.csv", tmp_path / "valid.csv"
        train.write_text("prompt,completion\n2 + 3 = ?,5\n2 + 3 = ?,6\nMail?,ann@uni-x.org\n")
        valid.write_text("prompt,completion\nNew?,7\n2 + 3 = ?,5\n")
        out = shell.ok("preview", str(train), "--quality", "--valid", str(valid))
        assert "3 rows. Characters of a row: 11 to 19, median 11." in out
        assert "prefers what this one rejects: 1 row. (line 3)" in out
        assert "account or person. (line 4)" in out
        assert "1 row of the validation file. (line 3)" in out
        codes = [each["code"] for each in shell.json("preview", str(train), "--quality")["findings"]]
        assert codes == ["personal_data", "conflicting_answers"]
        assert "Nothing stands out." in shell.ok("preview", str(valid), "--quality")
        assert "does not exist" in shell.refused("preview", str(tmp_path / "none.jsonl"), "--quality")


class TestDoctor:
    @pytest.fixture(autouse=True)
    def enough_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(host, "LOW_DISK", 0)

    @pytest.fixture(autouse=True)
    def log_as_before(self) -> Iterator[None]:
        """The doctor silences the log of its process."""
        before = structlog.get_config()
        yield
        structlog.configure(**before)

    def findings(self, out: str) -> dict[str, str]:
        """sign by part, where a row begins with them."""
        rows = [line.split(maxsplit=2) for line in out.splitlines() if line[:1] in "✓✗!"]
        return {row[1]: row[0] for row in rows}

    def test_a_database_that_is_not_migrated_is_named_with_the_way_out(self, shell: Shell) -> None:
        code, out, _ = shell.run("doctor")
        assert code == 1
        assert [part for part, sign in self.findings(out).items() if sign == "✗"] == ["database"]
        assert f"schema empty, needs {NEWEST} → `fettle migrate`" in " ".join(out.split())

    def test_after_the_migration_only_what_may_be_away_is_away(self, migrated: Shell) -> None:
        code, out, _ = migrated.run("doctor")
        found = self.findings(out)
        assert code == 0
        assert found["database"] == found["storage"] == found["base"] == "✓"
        assert found["queue"] == found["engine"] == "!"

    def test_every_part_that_fails_is_named_and_none_hides_another(self, shell: Shell) -> None:
        shell.set(
            DATABASE_URL="postgresql+asyncpg://fettle:canary@127.0.0.1:1/fettle",
            STORAGE_URL=__file__,  # no folder
            CATALOG=shell.data / "none.json",
        )
        code, out, err = shell.run("doctor")
        assert code == 1
        signs = self.findings(out)
        assert {part for part, sign in signs.items() if sign == "✗"} == {"database", "storage", "base"}
        for hint in ("FETTLE_DATABASE_URL", "FETTLE_STORAGE_URL", "FETTLE_CATALOG"):
            assert hint in out
        assert "canary" not in out + err

    def test_aliases_are_shown_and_one_that_leads_nowhere_is_named(self, migrated: Shell) -> None:
        migrated.set(MODEL_ALIASES='{"gpt-4o": "starter"}')
        _, out, _ = migrated.run("doctor")
        assert "starter, gpt-4o = starter" in out
        migrated.set(MODEL_ALIASES='{"gpt-4o": "llama"}')
        code, out, _ = migrated.run("doctor")
        assert code == 1
        assert "'gpt-4o' stands for 'llama'" in " ".join(out.split())

    def test_a_base_model_without_weights_is_named(self, migrated: Shell) -> None:
        catalog = migrated.data / "catalog.json"
        catalog.write_text('{"acme/gone": {"path": "/nowhere", "parameters": 1, "length": 8}}')
        migrated.set(CATALOG=catalog)
        code, out, _ = migrated.run("doctor")
        assert code == 1
        assert "acme/gone: /nowhere has no config.json" in " ".join(out.split())

    def test_a_base_model_that_would_run_code_is_named_with_the_way_out(self, migrated: Shell) -> None:
        folder = migrated.data / "pickled"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "pytorch_model.bin").write_bytes(b"")
        catalog = migrated.data / "catalog.json"
        catalog.write_text(json.dumps({"acme/old": {"path": str(folder), "parameters": 1, "length": 8}}))
        migrated.set(CATALOG=catalog)
        code, out, _ = migrated.run("doctor")
        assert code == 1
        said = "".join(out.split())  # the table breaks long lines
        assert "acme/old" in said
        assert "pickledweights(pytorch_model.bin)" in said


def test_a_command_that_does_not_exist_is_refused(shell: Shell) -> None:
    code, _, err = shell.run("dance")
    assert code == 2
    assert "dance" in err


def test_without_a_command_there_is_help(shell: Shell) -> None:
    _, out, err = shell.run()
    for command in ("up", "migrate", "doctor", "keys", "jobs"):
        assert command in out + err


def test_settings_of_the_tests_are_those_of_the_commands(shell: Shell) -> None:
    assert Settings().data == shell.data


class TestEstimate:
    FOUND: ClassVar[dict[str, Any]] = {
        "steps": 1200,
        "tokens": 35_000,
        "tokens_from": "sample",
        "seconds": {"likely": 240.0, "low": 80.0, "high": 7200.0},
        "basis": "The speed of 'supervised' is from 1 earlier job on 'starter'.",
        "cost": {"likely": 1.5, "low": 1.0, "high": 2.0, "currency": "EUR"},
        "queue": {"seconds": 0.0, "message": "A slot is free. The job would start at once."},
        "memory": {"fits": True, "message": "About 0.67 GiB are needed, and the CPU has 23.54 GiB."},
    }

    def asked(self, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> tuple[int, str]:
        monkeypatch.setattr(Client, "post", lambda *_: {**self.FOUND, **changed})
        monkeypatch.setenv("FETTLE_API_KEY", "fk_x")
        job = tmp_path / "job.json"
        job.write_text('{"model": "starter"}')
        code, out, _ = shell.run("estimate", str(job))
        return code, out

    def test_it_says_what_the_job_would_take(
        self, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code, out = self.asked(shell, tmp_path, monkeypatch)
        assert code == 0
        for shown in (
            "1,200",
            "35,000 (counted in a sample)",
            "4 min (between 80 s and 2.0 h).",
            "A slot is free.",
            "About 0.67 GiB are needed",
            "1.50 EUR (between 1.00 and 2.00)",
        ):
            assert shown in out

    def test_it_exits_with_1_when_the_job_does_not_fit(
        self, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory = {"fits": False, "message": "Too much."}
        unknown = "No job has finished on these workers yet, so the time is not known."
        code, out = self.asked(
            shell, tmp_path, monkeypatch, memory=memory, seconds=None, basis=unknown, cost=None, tokens_from="file_size"
        )
        assert code == 1
        assert "Too much." in out and "cost" not in out
        assert "from the file's size" in out and "the time is not known" in " ".join(out.split())


class TestDryRun:
    FOUND: dict[str, object] = {  # noqa: RUF012
        "object": "fine_tuning.dry_run",
        "model": "starter",
        "prompts": 2,
        "samples": 2,
        "refused": 0,
        "unfinished": 1,
        "completions": 3,
        "groups": 1,
        "rewards": {"mean": 0.0, "std": 0.0, "min": 0.0, "max": 0.0},
        "scores": {"mine": {"mean": 0.0, "std": 0.0, "min": 0.0, "max": 0.0}},
        "dead_groups": 1.0,
        "errors": 0.25,
        "cut_off": 0.25,
        "completion_length_mean": 12.4,
        "warnings": [{"code": "nothing_earned", "message": "No completion earned anything: take easier prompts."}],
        "seconds": {"generation": 2, "generation_per_sample": 0.9, "scoring": 0.1, "scoring_per_sample": 0.033},
        "failures": [{"grader": "mine", "message": "line 2, in reward\nZeroDivisionError", "count": 1}],
        "examples": [
            {
                "prompt": [{"role": "user", "content": "1 + 1 ="}],
                "completion": "three \x1b[2J",
                "reward": 0.0,
                "scores": {"mine": 0.0},
                "stop_reason": "length",
            }
        ],
    }

    def test_it_shows_the_finding_and_exits_with_1_when_nothing_would_be_learned(
        self, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[object] = []

        def post(self: Client, path: str, body: object) -> object:
            asked.append((path, body))
            return TestDryRun.FOUND

        monkeypatch.setattr(Client, "post", post)
        monkeypatch.setenv("FETTLE_API_KEY", "fk_x")
        job = tmp_path / "job.json"
        job.write_text('{"model": "starter"}')
        code, out, _ = shell.run("dry-run", str(job), "--prompts", "2")
        assert asked == [("/v1/fine_tuning/dry_runs", {"model": "starter", "prompts": 2})]
        assert code == 1
        for shown in (
            "starter: 2 prompts × 2 completions of 12 tokens on average. Written in 2.0 s (0.90 s each, several at a",
            "100% of 1 groups are dead: all their rewards are equal. 1 completions were not done in time.",
            "0.00  mine 0.00, cut off\n1 + 1 =\nthree �[2J\n",
            "1 × mine: line 2, in reward\nZeroDivisionError",
            "! No completion earned anything: take easier prompts.",
        ):
            assert shown in out

    def test_a_file_that_is_no_job_is_named(self, shell: Shell, tmp_path: Path) -> None:
        job = tmp_path / "job.json"
        job.write_text("{")
        assert "is not JSON" in shell.refused("dry-run", str(job))
        assert "cannot be read: No such file" in shell.refused("dry-run", str(job) + "x")
        job.write_text("[]")
        assert "does not contain a JSON object" in shell.refused("dry-run", str(job))
