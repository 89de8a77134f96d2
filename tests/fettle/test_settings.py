from pathlib import Path

import pytest
from pydantic import ValidationError

from fettle.settings import Settings

SECRETS = {
    "FETTLE_REDIS_URL": "redis://:canary-1@10.0.0.1:6379/0",
    "FETTLE_S3_SECRET_ACCESS_KEY": "canary-2",
    "FETTLE_ENGINE_KEY": "canary-3",
    "FETTLE_HF_TOKEN": "canary-4",
    "FETTLE_SECRET": "canary-5",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's .env must not reach these tests."""
    monkeypatch.chdir(tmp_path)


def test_by_default_everything_lives_under_the_data_folder(tmp_path: Path) -> None:
    settings = Settings()
    assert settings.database == f"sqlite+aiosqlite:///{tmp_path}/.fettle/fettle.db"
    assert settings.storage == f"{tmp_path}/.fettle/storage"
    assert settings.host == "127.0.0.1"


def test_the_catalog_is_the_named_file_or_the_data_folders_where_it_exists(tmp_path: Path) -> None:
    assert Settings().catalog_file is None
    own = tmp_path / ".fettle" / "catalog.json"
    own.parent.mkdir()
    own.write_text("{}")
    assert Settings().catalog_file == own
    assert Settings(catalog=Path("/etc/models.json")).catalog_file == Path("/etc/models.json")


def test_a_url_takes_the_place_of_the_folder() -> None:
    settings = Settings(database_url="postgresql+asyncpg://db/fettle", storage_url="s3://bucket/prefix")
    assert settings.database == "postgresql+asyncpg://db/fettle"
    assert settings.storage == "s3://bucket/prefix"


def test_the_environment_wins_over_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("FETTLE_PORT=9001\nFETTLE_SLOTS=3\nPOSTGRES_PASSWORD=not-ours\n")
    monkeypatch.setenv("FETTLE_PORT", "9002")
    settings = Settings()
    assert (settings.port, settings.slots) == (9002, 3)


def test_the_data_folder_stays_the_same_when_the_process_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    before = settings.database
    monkeypatch.chdir("/")
    assert settings.database == before


def test_a_worker_may_miss_several_heartbeats() -> None:
    settings = Settings()
    assert settings.heartbeat_seconds * 3 <= settings.lease_seconds


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "abc"), ("PORT", "0"), ("PORT", "65536"), ("SLOTS", "1.5"), ("LEASE_SECONDS", "long")]
)
def test_a_bad_value_is_refused_under_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"FETTLE_{name}", value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    (error,) = refused.value.errors()
    assert (error["loc"], error["input"]) == ((name.lower(),), value)


def test_settings_never_change_under_a_running_process() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 9000  # type: ignore[misc]


def test_no_secret_shows_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.secret is not None
    assert settings.secret.get_secret_value() == "canary-5"
    assert "canary" not in repr(settings) + str(settings.model_dump()) + settings.model_dump_json()


def test_a_lease_shorter_than_three_heartbeats_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValidationError, match=r"FETTLE_LEASE_SECONDS=20 .*FETTLE_HEARTBEAT_SECONDS=10"):
        Settings(lease_seconds=20)


def test_a_worker_without_slots_is_refused() -> None:
    with pytest.raises(ValidationError, match="slots"):
        Settings(slots=0)
