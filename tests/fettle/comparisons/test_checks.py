"""Hidden checks of annotators: gold items and repeated items."""

from typing import Any

import pytest
from sqlalchemy import select

from fettle.comparisons import checks, export, results
from fettle.comparisons.items import Task
from fettle.comparisons.votes import Ballot
from fettle.db import Database
from fettle.errors import InvalidRequest
from models import Comparison, ComparisonAnnotator, ComparisonVote, Project
from tests.fettle.comparisons import samples

PROMPT = [{"role": "user", "content": "gold"}]


async def add_gold(db: Database, made: Comparison, *ranked: list[list[str]]) -> list[str]:
    async with db.transaction() as session:
        return [item.id for item in await checks.add_gold(session, made, [(PROMPT, each) for each in ranked])]


async def vote(db: Database, made: Comparison, who: ComparisonAnnotator, task: Task, order: list[str]) -> None:
    await samples.cast(db, made, who, Ballot(task.item.id, "ranking", ranking=order, vote_id=task.vote.id))


async def vote_on_all(db: Database, made: Comparison, who: ComparisonAnnotator) -> list[Task]:
    tasks = []
    while (task := await samples.next_task(db, made, who)) is not None:
        await vote(db, made, who, task, sorted(task.vote.shown))
        tasks.append(task)
    return tasks


async def computed(db: Database, made: Comparison) -> Any:
    import orjson

    async with db.snapshot() as session:
        material = await results.material(session, made)
    return orjson.loads(results.compute(None, orjson.dumps(material)))


async def test_every_third_item_is_gold_until_the_annotator_has_seen_them_all(db: Database, project: Project) -> None:
    made = await samples.comparison(db, project, prompts=8, check_every=3)
    gold = await add_gold(db, made, [["good"], ["bad"]], [["good"], ["bad"]])
    ann = await samples.annotator(db, made, "ann")
    tasks = await vote_on_all(db, made, ann)
    assert [number for number, task in enumerate(tasks, 1) if task.item.source == "gold"] == [3, 6]
    assert {task.item.id for task in tasks if task.item.source == "gold"} == set(gold)
    assert len(tasks) == 10


async def test_an_item_comes_again_once_in_another_order(db: Database, project: Project) -> None:
    made = await samples.comparison(db, project, prompts=8, n=9, check_every=4, repeats=True)
    ann = await samples.annotator(db, made, "ann")
    tasks = await vote_on_all(db, made, ann)
    again = [task for task in tasks if task.vote.repeat]
    assert [tasks.index(task) + 1 for task in again] == [4, 8]
    first = {task.item.id: task for task in tasks if not task.vote.repeat}
    assert len({task.item.id for task in again}) == 2
    for task in again:
        shown = first[task.item.id].vote.shown
        assert task.vote.shown != shown
        assert sorted(task.vote.shown) == sorted(shown)


async def test_checks_measure_an_annotator_and_are_never_exported(db: Database, project: Project) -> None:
    """12 items, a check as each fourth: at 4 a repeat comes last, as the turn is odd: gold; at 8 a repeated item."""
    made = await samples.comparison(db, project, prompts=12, check_every=4, repeats=True)
    await add_gold(db, made, [["good"], ["bad"]])
    ann = await samples.annotator(db, made, "ann")
    kinds = []
    while (task := await samples.next_task(db, made, ann)) is not None:
        order = sorted(task.vote.shown)
        if task.item.source == "gold":
            (best,), (worst,) = task.item.gold["levels"] if task.item.gold else ([""], [""])
            order = [worst, best]  # wrong
        if task.vote.repeat and "repeat" not in kinds:
            order = order[::-1]  # not what the annotator said before
        kinds.append("gold" if task.item.source == "gold" else "repeat" if task.vote.repeat else "")
        await vote(db, made, ann, task, order)
    assert (kinds[3], kinds[7]) == ("gold", "repeat")
    repeats = kinds.count("repeat")
    found = await computed(db, made)
    (figures,) = found["annotators"]
    assert figures["votes"] == 12
    assert figures["gold"] == {"items": 1, "agreement": 0}
    assert figures["repeated"] == {"items": repeats, "agreement": (repeats - 1) / repeats}
    assert (found["votes"], found["rows"], found["rows_needed"]) == (12, {"rankings": 12, "pairs": 12}, 10)
    async with db.snapshot() as session:
        exported = export.export(*await export.gather(session, made), "rankings", "every_vote")
        repeated = (await session.scalars(select(ComparisonVote.id).where(ComparisonVote.repeat))).all()
    assert (exported.written, exported.left_out) == (12, 0)
    assert repeats >= 2
    assert not set(repeated) & set(exported.votes)
    assert b"gold" not in exported.jsonl


async def test_a_vote_without_its_id_is_for_the_open_item_and_then_for_the_first_vote(
    db: Database, project: Project
) -> None:
    made = await samples.comparison(db, project, prompts=3, check_every=2, repeats=True)
    ann = await samples.annotator(db, made, "ann")
    first = await samples.next_task(db, made, ann)
    assert first is not None
    await vote(db, made, ann, first, first.vote.shown)
    again = await samples.next_task(db, made, ann)
    assert again is not None and again.vote.repeat and again.item.id == first.item.id
    one, other = first.vote.shown
    assert await samples.cast(db, made, ann, Ballot(first.item.id, "ranking", ranking=[other, one])) == again.vote.id
    assert await samples.cast(db, made, ann, Ballot(first.item.id, "ranking", ranking=[one, other])) == first.vote.id


@pytest.mark.parametrize(
    ("mode", "ranked", "words"),
    [("rank", [["a", "b"]], "ties all"), ("pick", [["a", "b"], ["c"]], "begins with a tie")],
)
async def test_gold_without_a_right_answer_is_refused(
    db: Database, project: Project, mode: str, ranked: list[list[str]], words: str
) -> None:
    made = await samples.comparison(db, project, prompts=1, mode=mode)
    with pytest.raises(InvalidRequest, match=words):
        await add_gold(db, made, ranked)


def test_agreement_with_gold_counts_the_pairs_that_gold_orders() -> None:
    assert checks.matches([["a"], ["b", "c"]], [["a"], ["c"], ["b"]]) == (2, 2)
    assert checks.matches([["a"], ["b", "c"]], [["b"], ["a"], ["c"]]) == (1, 2)
    assert checks.matches([["a"], ["b"]], [["a", "b"]]) == (0, 1)
    assert checks.matches([["a"], ["b"]], None) == (0, 1)


def test_two_votes_agree_on_the_pairs_of_which_they_say_the_same() -> None:
    assert checks.consistency([["a"], ["b"], ["c"]], [["a"], ["c"], ["b"]]) == (2, 3)
    assert checks.consistency([["a"], ["b"]], None) == (0, 1)
    assert checks.consistency([["a", "b"]], [["a", "b"]]) == (1, 1)
