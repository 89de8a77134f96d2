"""What the console says and does when an answer is wrong, late or absent."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from fettle import ids
from tests.console.conftest import Visitor
from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow

Visit = Callable[..., Visitor]
OWN = {"error": {"message": "The database is not responding. Try again in a few seconds.", "code": None}}
ANSWERS = {
    "of Fettle": ({"status": 503, "json": OWN}, OWN["error"]["message"]),
    "of a proxy": ({"status": 502, "body": "<h1>Bad Gateway</h1>"}, "cannot reach it (status 502)"),
    "with another's JSON": ({"status": 500, "json": {"detail": "?"}}, "status 500 and without a reason"),
    "not in JSON": ({"status": 200, "body": "<p>Sign in"}, "(status 200) is not from Fettle"),
    "that sends elsewhere": ({"status": 302, "headers": {"location": "https://sign-in.invalid/"}}, "sign in again"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_page_says_what_was_wrong_with_an_answer(visit: Visit, answer: str) -> None:
    wrong, sentence = ANSWERS[answer]
    visitor = visit()
    visitor.page.route("**/v1/fine_tuning/jobs?*", lambda route: route.fulfill(**wrong))
    page = visitor.open("/jobs", "Jobs")
    page.get_by_role("alert").get_by_text(sentence).wait_for()
    assert page.get_by_text("Fettle is not responding").count() == 0
    visitor.complaints.clear()  # the browser reports the status itself


def test_fettle_is_not_responding_only_where_no_answer_came(visit: Visit) -> None:
    visitor = visit()
    visitor.page.route("**/v1/fine_tuning/jobs?*", lambda route: route.abort())
    page = visitor.open("/jobs", "Jobs")
    page.get_by_role("alert").get_by_text("Fettle is not responding.").wait_for()
    page.unroute("**/v1/fine_tuning/jobs?*")
    page.get_by_role("alert").wait_for(state="detached")  # it tried again
    visitor.complaints.clear()  # as above


def test_sign_in_says_what_was_wrong(visit: Visit) -> None:
    visitor = visit(state=None)
    visitor.page.route("**/session", lambda route: route.fulfill(status=500, json=OWN))
    visitor.page.goto(visitor.url)
    visitor.page.get_by_text(OWN["error"]["message"]).wait_for()
    visitor.complaints.clear()  # as above


@pytest.fixture
def running(server: Server) -> Any:
    job = server.create(rows=64, epochs=50)
    yield job
    server.client.fine_tuning.jobs.cancel(job.id)


def log(server: Server, job_id: str, messages: list[str]) -> None:
    """What a job that works for days says."""
    with closing(sqlite3.connect(server.data / "fettle.db", timeout=30)) as db:
        db.executemany(
            "INSERT INTO events (id, job_id, level, type, message, created_at) VALUES (?, ?, 'info', 'message', ?, ?)",
            [(ids.new("ftevent-"), job_id, message, time.time()) for message in messages],
        )
        db.commit()


def test_events_have_no_gap_after_a_long_absence(server: Server, visit: Visit, running: Any) -> None:
    log(server, running.id, [f"early {number}" for number in range(120)])
    page = visit().open(f"/jobs/{running.id}", running.id.removeprefix("ftjob-")[:8])
    page.get_by_role("button", name="Show all 100 newest").click()
    page.get_by_role("button", name="Show older events").click()
    page.get_by_text("early 0", exact=True).wait_for()
    log(server, running.id, [f"late {number}" for number in range(250)])  # more than one answer holds
    page.get_by_text("late 249", exact=True).wait_for()
    shown = page.locator("ol.many li > .wrap").all_text_contents()
    told = [text for text in shown if text.startswith(("early", "late"))]
    names = [f"late {number}" for number in range(249, -1, -1)] + [f"early {number}" for number in range(119, -1, -1)]
    assert told == names


def test_an_answer_from_before_an_action_does_not_put_the_old_status_back(
    server: Server, visit: Visit, running: Any
) -> None:
    page = visit().open(f"/jobs/{running.id}", running.id.removeprefix("ftjob-")[:8])
    held: list[Any] = []

    def hold(route: Any) -> None:
        if len(held) == 2:
            route.continue_()
        else:
            held.append((route, None if held else route.fetch()))

    page.route("**/updates?after=*", hold)
    while not held:
        page.wait_for_timeout(100)
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Pause").wait_for(state="detached")
    while len(held) < 2:
        page.wait_for_timeout(100)
    page.evaluate("""() => {
        window.seenAgain = false;
        const buttons = () => [...document.querySelectorAll("button")];
        const look = () => (seenAgain ||= buttons().some((one) => one.textContent === "Pause"));
        new MutationObserver(look).observe(document.body, { subtree: true, childList: true });
    }""")
    route, answer = held[0]
    with page.expect_response("**/updates?after=*"):
        route.fulfill(response=answer)
    held[1][0].continue_()
    page.locator("h1").get_by_text("Paused").wait_for()
    assert page.evaluate("seenAgain") is False
