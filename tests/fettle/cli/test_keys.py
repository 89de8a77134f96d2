import pytest

from fettle.tenancy import api_keys
from tests.fettle.cli.conftest import Shell


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


def test_a_database_without_tables_is_named_with_the_way_out(shell: Shell) -> None:
    assert "has no tables yet. Run `fettle up` or `fettle migrate`" in shell.refused("keys", "list")
