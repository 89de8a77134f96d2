"""Webhooks reach a receiver that fails, answers twice or redirects, and verify with the openai SDK."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from openai import OpenAI
from sqlalchemy import select

from fettle.jobs import leases, lifecycle
from fettle.settings import Settings
from fettle.tenancy import projects
from fettle.webhooks import events, store
from models import DeliveryStatus, Job, JobStatus, Project, WebhookDelivery, WebhookEndpoint
from tests.api.served import served
from worker.attempts.resources import Resources
from worker.background import webhooks

OPENAI = OpenAI(api_key="none", base_url="http://127.0.0.1:1")


class Receiver:
    """Takes what comes; `answers` are its next answers, then 200."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, dict[str, str]]] = []
        self.answers: list[Response] = []
        self.app = FastAPI()
        self.app.post("/hook")(self.hook)
        self.app.post("/elsewhere")(self.hook)

    async def hook(self, http: Request) -> Response:
        self.got.append((await http.body(), dict(http.headers)))
        return self.answers.pop(0) if self.answers else Response()


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    made = Receiver()
    with served(made.app) as url:
        yield made, f"{url}/hook"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allow_networks": "127.0.0.0/8"})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "DELAYS", (0.01, 0.01, 0.01))


async def project(resources: Resources) -> Project:
    async with resources.db.transaction() as session:
        return await projects.ensure(session, "default")


async def endpoint(resources: Resources, url: str, *kinds: str) -> WebhookEndpoint:
    owner = await project(resources)
    async with resources.db.transaction() as session:
        return await store.create(session, owner.id, "ci", url, list(kinds or events.TYPES))


async def happen(resources: Resources, kind: str = "batch.completed", thing: str = "batch_x") -> None:
    owner = await project(resources)
    async with resources.db.transaction() as session:
        events.add(session, owner.id, kind, thing)


async def settle(resources: Resources) -> list[WebhookDelivery]:
    """Works until nothing is pending."""
    async with asyncio.timeout(120):
        while True:
            await asyncio.gather(
                *(webhooks.deliver(resources, each) for each in await webhooks.due(resources, Counter()))
            )
            async with resources.db.snapshot() as session:
                rows = list(await session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.created_at)))
                if not await store.any_due(session) and all(row.status != DeliveryStatus.PENDING for row in rows):
                    return rows
            await asyncio.sleep(0.01)


async def test_an_event_is_signed_so_that_the_sdk_unwraps_it(
    resources: Resources, receiver: tuple[Receiver, str]
) -> None:
    made = await endpoint(resources, receiver[1])
    await happen(resources)
    (row,) = await settle(resources)
    assert (row.status, row.attempts, row.last_status) == (DeliveryStatus.DELIVERED, 1, 200)
    ((body, headers),) = receiver[0].got
    event: Any = OPENAI.webhooks.unwrap(body, headers, secret=made.secret)
    assert (event.type, event.data.id, event.id) == ("batch.completed", "batch_x", headers["webhook-id"])


async def test_a_failing_receiver_gets_the_same_id_and_body_again(
    resources: Resources, receiver: tuple[Receiver, str]
) -> None:
    await endpoint(resources, receiver[1])
    receiver[0].answers = [Response(status_code=500), RedirectResponse("/elsewhere")]
    await happen(resources)
    (row,) = await settle(resources)
    assert (row.status, row.attempts) == (DeliveryStatus.DELIVERED, 3)
    assert len({(body, headers["webhook-id"]) for body, headers in receiver[0].got}) == 1
    assert len(receiver[0].got) == 3  # the redirect was not followed


async def test_what_never_arrives_is_dead_and_can_be_sent_again(
    resources: Resources, receiver: tuple[Receiver, str]
) -> None:
    made = await endpoint(resources, receiver[1])
    receiver[0].answers = [Response(status_code=503) for _ in range(4)]
    await happen(resources)
    (row,) = await settle(resources)
    assert (row.status, row.attempts, row.last_status) == (DeliveryStatus.DEAD, 4, 503)
    assert row.last_error is not None and "503" in row.last_error
    async with resources.db.transaction() as session:
        await store.redeliver(session, made, row.id)
    (row,) = await settle(resources)
    assert row.status == DeliveryStatus.DELIVERED
    assert len({headers["webhook-id"] for _, headers in receiver[0].got}) == 1


async def test_after_a_rotation_both_secrets_verify_for_a_day(
    resources: Resources, receiver: tuple[Receiver, str]
) -> None:
    made = await endpoint(resources, receiver[1])
    before = made.secret
    async with resources.db.transaction() as session:
        row = await store.get(session, made.project_id, made.id, lock=True)
        store.rotate(row, overlap=True)
    await happen(resources)
    await settle(resources)
    body, headers = receiver[0].got[0]
    for secret in (before, row.secret):
        OPENAI.webhooks.verify_signature(body, headers, secret=secret)
    async with resources.db.transaction() as session:
        row = await store.get(session, made.project_id, made.id, lock=True)
        store.rotate(row, overlap=False)
    await happen(resources)
    await settle(resources)
    body, headers = receiver[0].got[1]
    assert headers["webhook-signature"].count("v1,") == 1


async def test_only_the_types_of_an_endpoint_and_its_own_project(
    resources: Resources, receiver: tuple[Receiver, str]
) -> None:
    await endpoint(resources, receiver[1], "batch.failed")
    await happen(resources)
    async with resources.db.transaction() as session:
        stranger = await projects.ensure(session, "stranger")
        events.add(session, stranger.id, "batch.failed", "batch_y")
    assert await settle(resources) == []
    assert receiver[0].got == []


async def test_an_address_inside_is_not_reached(resources: Resources, receiver: tuple[Receiver, str]) -> None:
    await endpoint(resources, receiver[1])
    await happen(resources)
    strict = replace(resources, settings=resources.settings.model_copy(update={"webhook_allow_networks": ""}))
    (each,) = await webhooks.due(strict, Counter())
    await webhooks.deliver(strict, each)
    async with resources.db.snapshot() as session:
        row = (await session.scalars(select(WebhookDelivery))).one()
    assert row.status == DeliveryStatus.PENDING
    assert row.last_error is not None and "127.0.0.1" in row.last_error
    assert receiver[0].got == []


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
async def test_a_job_tells_of_its_end_in_the_same_transaction(resources: Resources, job: Job, ending: str) -> None:
    async with resources.db.transaction() as session:
        if ending == "failed":
            leases.fail(session, await leases.hold(session, job.id, job.fence), "x", "It failed.")
        else:
            await lifecycle.cancel(session, job.project_id, job.id)
    async with resources.db.snapshot() as session:
        told = (await session.execute(select(events.WebhookEvent.type, events.WebhookEvent.body))).all()
    assert [kind for kind, _ in told] == [f"fine_tuning.job.{ending}"]
    assert job.id in told[0][1]


async def test_a_change_that_is_rolled_back_tells_nothing(resources: Resources, job: Job) -> None:
    with pytest.raises(ZeroDivisionError):
        async with resources.db.transaction() as session:
            await lifecycle.cancel(session, job.project_id, job.id)
            _ = 1 / 0
    async with resources.db.snapshot() as session:
        assert not await store.any_due(session)
        assert (await session.get_one(Job, job.id)).status == JobStatus.RUNNING


@pytest.fixture
async def serving(resources: Resources) -> AsyncIterator[None]:
    task = asyncio.create_task(webhooks.serve(resources))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.usefixtures("serving")
async def test_the_worker_delivers_by_itself(resources: Resources, receiver: tuple[Receiver, str]) -> None:
    await endpoint(resources, receiver[1])
    for number in range(20):
        await happen(resources, thing=f"batch_{number}")
    async with asyncio.timeout(120):
        while len(receiver[0].got) < 20:  # noqa: ASYNC110 — the receiver runs in another thread
            await asyncio.sleep(0.02)
    assert len({headers["webhook-id"] for _, headers in receiver[0].got}) == 20
