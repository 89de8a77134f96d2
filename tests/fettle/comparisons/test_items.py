"""Items go out blind, once to each annotator, and to no more annotators than votes are wanted."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import select, update

from fettle.comparisons import items
from fettle.comparisons.votes import Ballot
from fettle.db import Database, lock
from models import Comparison, ComparisonAnnotator, ComparisonVote, Project
from tests.fettle.comparisons import samples


async def vote_on_all(db: Database, made: Comparison, who: ComparisonAnnotator) -> list[str]:
    """Item ids, in the order in which they came."""
    seen = []
    while (task := await samples.next_task(db, made, who)) is not None:
        seen.append(task.item.id)
        await samples.cast(db, made, who, Ballot(task.item.id, "ranking", ranking=task.vote.shown))
    return seen


async def test_two_annotators_at_once_lose_no_vote_and_double_none(db: Database, project: Project) -> None:
    made = await samples.comparison(db, project, prompts=200, overlap="full")
    people = [await samples.annotator(db, made, name) for name in ("ann", "bob")]
    seen = await asyncio.gather(*(vote_on_all(db, made, who) for who in people))
    everything = {item.id for item in await samples.all_items(db, made)}
    assert [len(each) for each in seen] == [200, 200]
    assert [set(each) for each in seen] == [everything, everything]
    async with db.snapshot() as session:
        kept = (await session.execute(select(ComparisonVote.annotator_id, ComparisonVote.item_id))).all()
    assert len(kept) == len(set(kept)) == 400


async def test_no_item_gets_more_votes_than_wanted_with_five_annotators_at_once(db: Database, project: Project) -> None:
    made = await samples.comparison(db, project, prompts=20, votes_per_item=2)
    people = [await samples.annotator(db, made, name) for name in "abcde"]
    seen = await asyncio.gather(*(vote_on_all(db, made, who) for who in people))
    counts = Counter(item for each in seen for item in each)
    assert len(counts) == 20
    assert set(counts.values()) == {2}


@pytest.mark.parametrize(("overlap", "votes"), [("none", 1), ("controlled", 3), ("full", 4)])
async def test_the_overlap_says_how_many_annotators_see_an_item(
    db: Database, project: Project, overlap: str, votes: int
) -> None:
    made = await samples.comparison(db, project, prompts=1, overlap=overlap, votes_per_item=3)
    people = [await samples.annotator(db, made, name) for name in "abcd"]
    tasks = [await samples.next_task(db, made, who) for who in people]
    assert sum(task is not None for task in tasks) == votes


async def test_a_lease_that_ran_out_frees_the_item_for_others(db: Database, project: Project) -> None:
    made = await samples.comparison(db, project, prompts=1)
    ann, bob = [await samples.annotator(db, made, name) for name in ("ann", "bob")]
    assert await samples.next_task(db, made, ann) is not None
    assert await samples.next_task(db, made, ann) is None
    assert await samples.next_task(db, made, bob) is None
    async with db.transaction() as session:
        await session.execute(update(ComparisonVote).values(lease_until=1.0))
    assert await samples.next_task(db, made, bob) is not None


async def test_asking_ahead_gives_another_item_and_resuming_the_open_one(db: Database, project: Project) -> None:
    made = await samples.comparison(db, project, prompts=2)
    ann = await samples.annotator(db, made, "ann")
    first, second = await samples.next_task(db, made, ann), await samples.next_task(db, made, ann)
    assert first and second and first.item.id != second.item.id
    async with db.transaction() as session:
        again, _ = await items.open_tasks(session, ann, 2)
    assert again.item.id == first.item.id
    assert again.vote.shown == first.vote.shown


async def ahead(db: Database, made: Comparison, who: ComparisonAnnotator, count: int = 3) -> list[items.Task]:
    """As a page asks: the item for the screen, and those after it."""
    async with db.transaction() as session:
        await lock(session, made.id)
        return await items.next_tasks(session, made, who, count, resume=True)


async def passed(db: Database, seconds: float) -> None:
    async with db.transaction() as session:
        earlier = ComparisonVote.lease_until - seconds
        await session.execute(
            update(ComparisonVote).where(ComparisonVote.lease_until.is_not(None)).values(lease_until=earlier)
        )


async def test_items_ahead_of_the_one_on_the_screen_are_soon_free_for_others(db: Database, project: Project) -> None:
    made = await samples.comparison(db, project, prompts=3)
    ann, bob = [await samples.annotator(db, made, name) for name in ("ann", "bob")]
    first, *others = [task.item.id for task in await ahead(db, made, ann)]
    assert await ahead(db, made, bob) == []
    await passed(db, 100)
    assert [task.item.id for task in await ahead(db, made, ann)] == [first, *others]  # her page renews them
    await passed(db, 100)
    assert await ahead(db, made, bob) == []
    await passed(db, items.AHEAD_SECONDS)
    assert [task.item.id for task in await ahead(db, made, bob)] == others
    await passed(db, items.LEASE_SECONDS)
    assert [task.item.id for task in await ahead(db, made, bob, 1)] == [first]


async def test_a_page_that_closes_frees_its_items_but_not_those_of_the_next_page(
    db: Database, project: Project
) -> None:
    made = await samples.comparison(db, project, prompts=3)
    ann, bob = [await samples.annotator(db, made, name) for name in ("ann", "bob")]

    def leases(tasks: list[items.Task]) -> dict[str, str]:
        return {task.vote.id: str(items.lease_of(task.vote)) for task in tasks[1:]}

    async def release(who: ComparisonAnnotator, given: dict[str, str]) -> int:
        async with db.transaction() as session:
            await lock(session, made.id)
            return await items.release(session, who, given)

    closed = leases(await ahead(db, made, ann))
    loaded = leases(await ahead(db, made, ann))  # she loads the page again: the request of the old one comes late
    assert await release(ann, closed) == 0
    assert await release(bob, loaded) == 0  # not his
    assert await ahead(db, made, bob) == []
    assert await release(ann, loaded) == 2
    assert len(await ahead(db, made, bob)) == 2


async def test_each_annotator_sees_an_order_of_their_own_that_the_seed_repeats(db: Database, project: Project) -> None:
    made = await samples.comparison(db, project, prompts=1, n=9, overlap="full")
    people = [await samples.annotator(db, made, name) for name in "abcd"]
    (item,) = await samples.all_items(db, made)
    orders = [items.shuffled(made, who, item) for who in people]
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert items.shuffled(made, people[0], item) == orders[0]
