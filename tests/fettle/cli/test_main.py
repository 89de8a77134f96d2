"""The commands as a person types them; errors as a person reads them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fettle.cli import up
from fettle.settings import Settings
from tests.fettle.cli.conftest import NEWEST, Shell

ROOT = Path(__file__).parents[3]


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
