"""Comparisons that are ready for votes, without an engine."""

from fettle.comparisons import annotators, generation, items, store, votes
from fettle.db import Database, lock
from fettle.inference.client import Servable
from models import ApiKey, Comparison, ComparisonAnnotator, ComparisonItem, Project

MODELS = ["starter", "tuned"]


async def comparison(
    db: Database, project: Project, prompts: int = 3, n: int = 2, mode: str = "rank", **changes: object
) -> Comparison:
    """Its responses are `<prompt>-<number>`, by the models in turn."""
    wanted = {
        "name": "taste",
        "mode": mode,
        "models": MODELS,
        "servables": [Servable(name, "starter") for name in MODELS],
        "prompts": [[{"role": "user", "content": f"prompt {number}"}] for number in range(1, prompts + 1)],
        "n": n,
        "sampling": {},
        "instructions": "Prefer the **shorter** one.",
        "overlap": "controlled",
        "votes_per_item": 1,
        "seed": 5,
        **changes,
    }
    async with db.transaction() as session:
        made = await store.create(session, project.id, store.Wanted(**wanted))  # type: ignore[arg-type]
        while (claimed := await generation.claim(session, "worker-1", 60)) is not None and claimed.id != made.id:
            continue  # one of another test
        assert claimed is not None
        for item in await generation.pending(session, made.id, prompts):
            responses = [
                {
                    "id": f"{made.id}-{item.number}-{number}",
                    "model": MODELS[number % 2],
                    "text": f"{item.number}-{number}",
                    "finish_reason": "stop",
                    "names_model": False,
                }
                for number in range(n)
            ]
            await generation.keep(session, item, responses, None)
        assert await generation.finish(session, made.id, "worker-1")
    return await read(db, made)


async def read(db: Database, row: Comparison) -> Comparison:
    async with db.snapshot() as session:
        return await session.get_one(Comparison, row.id)


async def all_items(db: Database, made: Comparison) -> list[ComparisonItem]:
    async with db.snapshot() as session:
        rows, _ = await items.newest(session, made.project_id, made.id, after=None, limit=10_000)
        return rows


async def annotator(db: Database, made: Comparison, name: str) -> ComparisonAnnotator:
    async with db.transaction() as session:
        row, _ = await annotators.invite(session, made, name, b"pepper", 4e9)
        return row


async def next_task(db: Database, made: Comparison, who: ComparisonAnnotator) -> items.Task | None:
    """One request of the API: a transaction of its own."""
    async with db.transaction() as session:
        await lock(session, made.id)
        return await items.next_task(session, made, who)


async def cast(db: Database, made: Comparison, who: ComparisonAnnotator, ballot: votes.Ballot) -> str:
    async with db.transaction() as session:
        await lock(session, made.id)
        return (await votes.cast(session, made, who, ballot)).id


def key(project: Project, id: str = "key_1") -> ApiKey:
    return ApiKey(id=id, project_id=project.id, name="a key", hint="fk_x", scopes=["all"])
