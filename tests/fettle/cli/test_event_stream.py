"""What a watch makes of a server that stops in the middle of a job, and comes back."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from fettle.cli import client as clients
from fettle.cli import jobs
from fettle.cli.client import Client
from fettle.errors import Unavailable
from fettle.settings import Settings

STREAMS: dict[str | None, list[str]] = {  # by the header Last-Event-ID; the first one stops without [DONE]
    None: ["e1", "e2"],
    "e2": ["e3", "[DONE]"],
}


@pytest.fixture
def asked() -> Iterator[tuple[Client, list[str | None]]]:
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if "/events" not in self.path:
                self.send_error(503)
                return
            seen.append(self.headers.get("Last-Event-ID"))
            self.send_response(200)
            self.end_headers()
            for name in STREAMS.get(seen[-1], []):
                event = {"id": name, "type": "message", "level": "info", "message": name, "data": None}
                data = name if name == "[DONE]" else json.dumps(event)
                self.wfile.write(f"data: {data}\n\n".encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield Client(Settings(), f"http://127.0.0.1:{server.server_port}", "fk_x"), seen
    server.shutdown()
    server.server_close()


def test_a_stream_that_ends_before_the_job_is_asked_for_again(
    asked: tuple[Client, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients.time, "sleep", lambda _: None)
    client, seen = asked
    assert [event["id"] for event in client.events("ftjob-a")] == ["e1", "e2", "e3"]
    assert seen == [None, "e2"]


def test_a_server_that_stays_away_leaves_the_way_back(
    asked: tuple[Client, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "EVENTS_AWAY_SECONDS", -1)
    with pytest.raises(Unavailable, match="Follow it again: fettle jobs watch ftjob-a"):
        jobs.follow(asked[0], "ftjob-a")
