import json
from collections.abc import Iterator

import pytest
import structlog

from fettle.cli.doctor import host
from tests.fettle.cli.conftest import NEWEST, Shell


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
        assert "acme/gone: /nowhere does not exist" in " ".join(out.split())

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
