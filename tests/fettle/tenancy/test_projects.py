import pytest

from fettle.db import Database
from fettle.errors import Conflict, InvalidRequest, NotFound
from fettle.tenancy import projects


async def test_a_project_is_made_once_and_found_afterwards(db: Database) -> None:
    async with db.transaction() as session:
        made = await projects.ensure(session, "blue-team")
    async with db.transaction() as session:
        found = await projects.ensure(session, "blue-team")
        other = await projects.ensure(session, "red-team")
    assert made.id.startswith("proj_")
    assert found.id == made.id
    assert other.id != made.id


async def test_a_name_that_cannot_stand_in_a_tuned_models_name_is_refused(db: Database) -> None:
    for name in ["Blue", "-blue", "", "a:b", "a/b", "ü", "a" * 41, "blue\n"]:
        async with db.transaction() as session:
            with pytest.raises(InvalidRequest, match="lower-case letters") as refused:
                await projects.ensure(session, name)
        assert repr(name) in refused.value.message
        assert refused.value.param == "project"


async def test_the_longest_name_is_accepted(db: Database) -> None:
    async with db.transaction() as session:
        assert (await projects.ensure(session, "a" * 40)).name == "a" * 40


async def test_a_name_is_taken_once(db: Database) -> None:
    async with db.transaction() as session:
        await projects.create(session, "blue-team")
    with pytest.raises(Conflict, match="'blue-team' already"):
        async with db.transaction() as session:
            await projects.create(session, "blue-team")


async def test_a_project_is_found_by_name_and_by_id(db: Database) -> None:
    async with db.transaction() as session:
        made = await projects.create(session, "blue-team")
        assert await projects.find(session, "blue-team") is await projects.find(session, made.id) is made
        with pytest.raises(NotFound, match="'red-team'"):
            await projects.find(session, "red-team")
