from pathlib import Path

from tests.fettle.cli.conftest import Shell


def test_a_restore_that_is_refused_leaves_the_data_folder_as_it_was(migrated: Shell, tmp_path: Path) -> None:
    migrated.ok("keys", "create", "laptop")
    secret = (migrated.data / "secret").read_text()
    backup = str(tmp_path / "backup")
    migrated.ok("backup", backup)
    target = tmp_path / "target"
    migrated.set(DATA=target)
    migrated.ok("migrate")
    migrated.ok("projects", "create", "blue-team")
    assert "is not empty" in migrated.refused("restore", backup)
    assert not (target / "secret").exists()
    (target / "fettle.db").unlink()
    migrated.ok("restore", backup)
    assert (target / "secret").read_text() == secret
