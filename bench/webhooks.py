"""1,000 webhooks through a receiver that fails a third of the time: how many arrive, how often, and how fast.

python -m bench.webhooks
"""

import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

from openai import OpenAI

from fettle.db import Database
from fettle.migrate import upgrade
from fettle.registry import catalog
from fettle.settings import Settings
from fettle.storage import open_storage
from fettle.tenancy import projects
from fettle.webhooks import events, store
from worker.attempts.resources import Resources
from worker.background import webhooks

EVENTS = 1_000
FAILS = 1 / 3
DELAYS = (
    0.05,
    0.1,
    0.2,
    0.4,
    0.8,
    1.6,
    3.2,
    6.4,
    12.8,
    25.6,
)  # in the place of hours; more tries than there really are


class Receiver(BaseHTTPRequestHandler):
    bodies: ClassVar[dict[str, set[bytes]]] = {}
    answers: ClassVar[Counter[int]] = Counter()
    chance: ClassVar = random.Random(7)
    secret: ClassVar[str] = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        OpenAI(api_key="none").webhooks.verify_signature(body, headers, secret=self.secret)
        self.bodies.setdefault(headers["webhook-id"], set()).add(body)
        status = 500 if self.chance.random() < FAILS else 200
        self.answers[status] += 1
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


async def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    store.DELAYS = DELAYS  # type: ignore[assignment]  # short ones, for the bench
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        settings = Settings(data=Path(folder), poll_seconds=0.05, webhook_allow_networks="127.0.0.0/8")
        db = Database(settings.database)
        await upgrade(db)
        resources = Resources(settings, db, open_storage(settings), catalog.load(None), 1)
        async with db.transaction() as session:
            project = await projects.ensure(session, "default")
            url = f"http://127.0.0.1:{server.server_port}/hook"
            Receiver.secret = (await store.create(session, project.id, "bench", url, list(events.TYPES))).secret
            for number in range(EVENTS):
                events.add(session, project.id, "batch.completed", f"batch_{number}")
        began = time.perf_counter()
        serving = asyncio.create_task(webhooks.serve(resources))
        while Receiver.answers[200] < EVENTS and time.perf_counter() - began < 600:  # noqa: ASYNC110 — another thread's
            await asyncio.sleep(0.1)
        seconds = time.perf_counter() - began
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        await db.close()
    server.shutdown()
    figures = {
        "events": EVENTS,
        "delivered": Receiver.answers[200],
        "ids": len(Receiver.bodies),
        "ids_with_another_body": sum(len(bodies) > 1 for bodies in Receiver.bodies.values()),
        "tries": Receiver.answers.total(),
        "seconds": round(seconds, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
