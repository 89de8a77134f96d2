"""Deliveries are taken up once, oldest first, and no project takes all the places; on SQLite and on PostgreSQL."""

from fettle.db import Database
from fettle.tenancy import projects
from fettle.webhooks import events, store
from fettle.webhooks.sending import Outcome
from models import DeliveryStatus, WebhookDelivery

URL = "https://hooks.example.com"


async def happened(db: Database, name: str, count: int) -> str:
    """A project with an endpoint, and events of it; its id."""
    async with db.transaction() as session:
        project = await projects.ensure(session, name)
        await store.create(session, project.id, "ci", URL, ["batch.failed"])
        for number in range(count):
            events.add(session, project.id, "batch.failed", f"batch_{number}")
    return project.id


async def claimed(db: Database, running: dict[str, int]) -> list[tuple[str, str]]:
    async with db.transaction() as session:
        await store.dispatch(session)
    async with db.transaction() as session:
        return [(row.id, endpoint.project_id) for row, endpoint, _ in await store.claim(session, running, 64)]


async def test_a_project_has_only_its_places_and_the_others_have_theirs(db: Database) -> None:
    busy, quiet = await happened(db, "busy", 20), await happened(db, "quiet", 1)
    first = await claimed(db, {})
    owners = [owner for _, owner in first]
    assert (owners.count(busy), owners.count(quiet)) == (store.TRIES_OF_A_PROJECT, 1)
    assert await claimed(db, {busy: store.TRIES_OF_A_PROJECT}) == []  # what is tried is nobody else's meanwhile
    again = await claimed(db, {busy: store.TRIES_OF_A_PROJECT - 3})
    assert len(again) == 3 and not {each for each, _ in again} & {each for each, _ in first}


async def test_what_failed_is_due_later_and_what_arrived_never_again(db: Database) -> None:
    await happened(db, "one", 2)
    (failed, _), (arrived, _) = await claimed(db, {})
    async with db.transaction() as session:
        await store.note(session, failed, 1, Outcome(503, "The endpoint answered 503."))
        await store.note(session, arrived, 1, Outcome(200, None))
    async with db.snapshot() as session:
        late, done = [await session.get_one(WebhookDelivery, each) for each in (failed, arrived)]
    assert (late.status, late.last_status, done.status) == (DeliveryStatus.PENDING, 503, DeliveryStatus.DELIVERED)
    delay = late.next_at - late.created_at  # after the first try: 5 s, a fifth to both sides
    assert 3.9 < delay < 60
    assert await claimed(db, {}) == []
