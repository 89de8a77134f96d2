import pytest
from sqlalchemy import select

from fettle.datasets import files
from fettle.db import Database
from fettle.errors import InvalidRequest
from fettle.pagination import page
from models import File, Project

ORDER = (File.created_at, File.id)


async def add(db: Database, project: Project, *times: float) -> list[str]:
    """One file for each creation time; their ids in the order (time, id)."""
    rows = [files.new(project.id, "x.jsonl", files.PURPOSE, 1) for _ in times]
    for row, created_at in zip(rows, times, strict=True):
        row.created_at = created_at
    async with db.transaction() as session:
        session.add_all(rows)
    return [row.id for row in sorted(rows, key=lambda row: (row.created_at, row.id))]


async def walk(db: Database, limit: int, *, newest_first: bool) -> tuple[list[str], int]:
    """All ids, page by page, and how many pages there were."""
    seen: list[str] = []
    pages, more = 0, True
    while more:
        async with db.snapshot() as session:
            rows, more = await page(
                session, select(File), ORDER, File.id,
                after=seen[-1] if seen else None, limit=limit, newest_first=newest_first,
            )  # fmt: skip
        seen += [row.id for row in rows]
        pages += 1
    return seen, pages


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_cover_every_row_once_even_where_times_are_equal(
    db: Database, project: Project, newest_first: bool
) -> None:
    times = [0.1 + 0.2, 0.3, 1763769600.123456, 1763769600.123456, 1763769600.123456, 1763769600.1234562]
    ids = await add(db, project, *times)
    expected = ids[::-1] if newest_first else ids
    assert await walk(db, 2, newest_first=newest_first) == (expected, 3)
    assert await walk(db, 4, newest_first=newest_first) == (expected, 2)
    assert await walk(db, 6, newest_first=newest_first) == (expected, 1)


async def test_an_empty_list_is_one_empty_page(db: Database) -> None:
    assert await walk(db, 5, newest_first=True) == ([], 1)


async def test_a_row_deleted_after_the_cursor_moves_no_other(db: Database, project: Project) -> None:
    oldest, _, third, newest = await add(db, project, 1.0, 2.0, 3.0, 4.0)
    async with db.transaction() as session:
        rows, _ = await page(session, select(File), ORDER, File.id, after=None, limit=2)
        assert [row.id for row in rows] == [newest, third]
        await session.delete(await session.get_one(File, newest))
    async with db.snapshot() as session:
        rows, more = await page(session, select(File), ORDER, File.id, after=third, limit=5)
    assert [row.id for row in rows][-1] == oldest
    assert (len(rows), more) == (2, False)


async def test_a_cursor_outside_the_list_is_named(db: Database, project: Project) -> None:
    (outside,) = await add(db, project, 1.0)
    inside = select(File).where(File.purpose == "another")
    async with db.snapshot() as session:
        for after in (outside, "file-none", ""):
            with pytest.raises(InvalidRequest, match=f"Invalid value for 'after': '{after}'") as refused:
                await page(session, inside, ORDER, File.id, after=after, limit=5)
            assert refused.value.param == "after"
