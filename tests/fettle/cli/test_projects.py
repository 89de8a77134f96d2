import pytest

from tests.fettle.cli.conftest import Shell


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
