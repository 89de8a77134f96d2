import asyncio
import hashlib
import hmac
import string
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from fettle.db import Database
from fettle.errors import Conflict, InvalidRequest, NotFound, Unauthenticated
from fettle.settings import Settings
from fettle.tenancy import api_keys
from models import ApiKey, Project

PEPPER = b"pepper"
DIGITS = string.digits + string.ascii_letters  # base 62: 0–9, a–z, A–Z


def number(text: str) -> int:
    value = 0
    for digit in text:
        value = value * 62 + DIGITS.index(digit)
    return value


class TestGenerate:
    def test_a_key_is_a_prefix_then_43_characters_then_their_checksum(self) -> None:
        key = api_keys.generate()
        body, check = key[3:46], key[46:]
        assert key[:3] == "fk_"
        assert len(key) == 3 + 43 + 6
        assert number(check) == zlib.crc32(body.encode())

    def test_43_characters_hold_256_bits_and_42_would_not(self) -> None:
        assert 62**43 > 2**256 > 62**42
        assert all(number(api_keys.generate()[3:46]) < 2**256 for _ in range(100))

    def test_keys_use_all_their_bits(self) -> None:
        """Over 200 keys every bit is sometimes set; each is clear in all of them with probability 2⁻²⁰⁰."""
        seen = 0
        for _ in range(200):
            seen |= number(api_keys.generate()[3:46])
        assert seen == 2**256 - 1

    @pytest.mark.parametrize(
        ("value", "width", "text"), [(0, 2, "00"), (9, 1, "9"), (61, 2, "0Z"), (62, 2, "10"), (62**2 - 1, 2, "ZZ")]
    )
    def test_base_62(self, value: int, width: int, text: str) -> None:
        assert api_keys.base62(value, width) == text


class TestWellFormed:
    def test_a_generated_key_is(self) -> None:
        assert all(api_keys.well_formed(api_keys.generate()) for _ in range(50))

    def test_one_mistyped_character_is_found_wherever_it_stands(self) -> None:
        key = api_keys.generate()
        for place in range(len(key)):
            wrong = "x" if key[place] != "x" else "y"
            assert not api_keys.well_formed(key[:place] + wrong + key[place + 1 :]), place

    @pytest.mark.parametrize("text", ["", "fk_", "fk_short", "sk-" + "a" * 49, "fk_" + "é" * 49])
    def test_other_text_is_not(self, text: str) -> None:
        assert not api_keys.well_formed(text)


class TestCreate:
    async def test_the_database_holds_an_hmac_and_a_hint_but_never_the_key(
        self, db: Database, project: Project
    ) -> None:
        async with db.transaction() as session:
            row, key = await api_keys.create(session, project.id, "laptop", PEPPER)
        async with db.snapshot() as session:
            stored = await session.get_one(ApiKey, row.id)
        assert stored.digest == hmac.new(PEPPER, key.encode(), hashlib.sha256).hexdigest()
        assert stored.hint == key[:8]
        values = [str(getattr(stored, column.key)) for column in ApiKey.__table__.columns]
        assert not any(key[8:20] in value for value in values)


class TestAuthenticate:
    async def test_a_live_key_opens_its_own_project(self, db: Database, project: Project) -> None:
        async with db.transaction() as session:
            row, key = await api_keys.create(session, project.id, "laptop", PEPPER)
            await api_keys.create(session, project.id, "other", PEPPER)
            found = await api_keys.authenticate(session, key, PEPPER)
        assert found is not None
        assert (found.id, found.project_id) == (row.id, project.id)

    async def test_a_stolen_database_with_another_pepper_opens_nothing(self, db: Database, project: Project) -> None:
        async with db.transaction() as session:
            _, key = await api_keys.create(session, project.id, "laptop", PEPPER)
            assert await api_keys.authenticate(session, key, b"another") is None

    async def test_a_well_formed_key_that_nobody_made_opens_nothing(self, db: Database) -> None:
        async with db.snapshot() as session:
            assert await api_keys.authenticate(session, api_keys.generate(), PEPPER) is None

    async def test_a_mistyped_key_asks_no_database(self) -> None:
        assert await api_keys.authenticate(None, "fk_mistyped", PEPPER) is None  # type: ignore[arg-type]


class TestRevoke:
    async def test_a_revoked_key_opens_nothing_while_its_successor_does(self, db: Database, project: Project) -> None:
        async with db.transaction() as session:
            old, old_key = await api_keys.create(session, project.id, "old", PEPPER)
            _, new_key = await api_keys.create(session, project.id, "new", PEPPER)
        async with db.transaction() as session:
            await api_keys.revoke(session, old.id)
        async with db.snapshot() as session:
            assert await api_keys.authenticate(session, old_key, PEPPER) is None
            assert await api_keys.authenticate(session, new_key, PEPPER) is not None

    async def test_a_second_revocation_keeps_the_time_of_the_first(self, db: Database, project: Project) -> None:
        async with db.transaction() as session:
            row, _ = await api_keys.create(session, project.id, "old", PEPPER)
            row.revoked_at = 1000.0
        async with db.transaction() as session:
            assert (await api_keys.revoke(session, row.id)).revoked_at == 1000.0

    async def test_an_unknown_id_is_named(self, db: Database) -> None:
        async with db.transaction() as session:
            with pytest.raises(NotFound, match=r"'key_nobody'.*fettle keys list"):
                await api_keys.revoke(session, "key_nobody")


class TestExpiry:
    async def test_an_expired_key_is_told_so_and_a_living_one_opens(self, db: Database, project: Project) -> None:
        async with db.transaction() as session:
            row, key = await api_keys.create(session, project.id, "ci", PEPPER, expires_at=time.time() + 60)
            assert await api_keys.authenticate(session, key, PEPPER) is row
            row.expires_at = time.time() - 1
            with pytest.raises(Unauthenticated, match=r"fk_.*… \(ci\) has expired") as refused:
                await api_keys.authenticate(session, key, PEPPER)
        assert refused.value.code == "expired_api_key"

    async def test_a_revoked_key_is_told_nothing_even_when_it_has_expired(self, db: Database, project: Project) -> None:
        async with db.transaction() as session:
            row, key = await api_keys.create(session, project.id, "ci", PEPPER)
            row.expires_at = row.revoked_at = 1000.0
            await session.flush()
            assert await api_keys.authenticate(session, key, PEPPER) is None

    async def test_an_end_that_has_passed_is_refused(self, db: Database, project: Project) -> None:
        async with db.transaction() as session:
            with pytest.raises(InvalidRequest, match="in the past"):
                await api_keys.create(session, project.id, "ci", PEPPER, expires_at=time.time() - 1)


class TestRotate:
    async def test_of_rotations_at_once_one_makes_a_successor(self, db: Database, project: Project) -> None:
        async with db.transaction() as session:
            old, _ = await api_keys.create(session, project.id, "ci", PEPPER)

        async def rotate() -> str:
            async with db.transaction() as session:
                row, _ = await api_keys.rotate(session, await api_keys.get(session, old.id), PEPPER)
                return row.id

        ended = await asyncio.gather(*(rotate() for _ in range(8)), return_exceptions=True)
        assert [end for end in ended if isinstance(end, str)] == [f"{old.id}-2"]
        assert [type(end) for end in ended if not isinstance(end, str)] == [Conflict] * 7

    async def test_the_tenth_successor_follows_the_ninth(self, db: Database, project: Project) -> None:
        async with db.transaction() as session:
            row, _ = await api_keys.create(session, project.id, "ci", PEPPER)
            first = row.id
            for number in range(2, 13):
                row, _ = await api_keys.rotate(session, row, PEPPER)
                assert row.id == f"{first}-{number}"
            everyone = [key for key, _ in await api_keys.everyone(session)]
        assert [key.id for key in everyone if api_keys.state(key) == "live"] == [f"{first}-11", f"{first}-12"]


class TestPepper:
    def test_the_setting_wins_and_leaves_no_file(self, tmp_path: Path) -> None:
        settings = Settings(data=tmp_path, secret=SecretStr("from-the-vault"))
        assert api_keys.pepper(settings) == b"from-the-vault"
        assert list(tmp_path.iterdir()) == []

    def test_without_one_it_is_made_once_for_its_owner_alone(self, tmp_path: Path) -> None:
        settings = Settings(data=tmp_path / "new")
        made = api_keys.pepper(settings)
        assert len(bytes.fromhex(made.decode())) == 32
        assert api_keys.pepper(settings) == made
        assert (tmp_path / "new" / "secret").stat().st_mode & 0o777 == 0o600
        assert [file.name for file in (tmp_path / "new").iterdir()] == ["secret"]

    def test_processes_that_start_together_agree_on_one(self, tmp_path: Path) -> None:
        for start in range(30):
            settings = Settings(data=tmp_path / str(start))
            together = threading.Barrier(8)

            def make(settings: Settings = settings, together: threading.Barrier = together) -> bytes:
                together.wait()
                return api_keys.pepper(settings)

            with ThreadPoolExecutor(8) as pool:
                made = {future.result() for future in [pool.submit(make) for _ in range(8)]}
            assert len(made) == 1
            assert made != {b""}


class TestWritePrivate:
    def test_a_file_that_others_could_read_is_closed_to_them(self, tmp_path: Path) -> None:
        file = tmp_path / "admin.key"
        file.write_text("a longer text than the new one")
        file.chmod(0o644)
        api_keys.write_private(file, "secret")
        assert file.read_text() == "secret"
        assert file.stat().st_mode & 0o777 == 0o600
