"""Comparisons in a real browser: made, voted on by keyboard and by touch, and counted."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.console.conftest import MARKUP, Visitor
from tests.e2e.conftest import Server, wait_for

pytestmark = pytest.mark.slow

Visit = Callable[..., Visitor]
GUIDELINES = f"# Be fair\n\nPrefer the **clear** one. [trap](javascript:alert(1)) {MARKUP}"
PROMPTS = [f"Tom has {number} apples and buys 3. {MARKUP} How many has he?" for number in (4, 5, 6)]


def write_markup(server: Server, comparison: str) -> None:
    """A model's answer is whatever a model likes to say."""
    with closing(sqlite3.connect(server.data / "fettle.db", timeout=30)) as db:
        rows = db.execute(
            "SELECT id, responses FROM comparison_items WHERE comparison_id = ?", (comparison,)
        ).fetchall()
        for item, stored in rows:
            responses = json.loads(stored)
            for number, response in enumerate(responses):
                response |= {"text": f"{MARKUP} answer {number}", "finish_reason": "stop"}  # whole, so that it counts
            db.execute("UPDATE comparison_items SET responses = ? WHERE id = ?", (json.dumps(responses), item))
        db.commit()


def made(server: Server, mode: str, n: int) -> str:
    """A comparison that is ready for votes."""
    body = {
        "name": f"{mode} {MARKUP}",
        "models": ["starter"],
        "prompts": PROMPTS,
        "n": n,
        "mode": mode,
        "instructions": GUIDELINES,
        "sampling": {"max_completion_tokens": 8},
    }
    comparison: str = server.http.post("/v1/comparisons", json=body).raise_for_status().json()["id"]
    at = f"/v1/comparisons/{comparison}"
    wait_for(lambda: server.http.get(at).json()["status"] == "ready", 120, "the responses")
    write_markup(server, comparison)
    return comparison


@pytest.fixture(scope="module")
def ranked(server: Server) -> Iterator[str]:
    yield made(server, "rank", 3)


def invitation(server: Server, comparison: str, name: str = "Ann") -> str:
    answer = server.http.post(f"/v1/comparisons/{comparison}/annotators", json={"name": name}).raise_for_status()
    return f"{server.url}{answer.json()['link']}"


def enter(visitor: Visitor, link: str) -> Any:
    """Opens an invitation and reads its guidelines."""
    page = visitor.page
    page.goto(link)
    page.get_by_role("heading", name="Before you start").wait_for()
    assert visitor.serious_violations() == []
    page.get_by_role("button", name="Start").click()
    page.get_by_label("Prompt").wait_for()
    return page


def shows_only_text(page: Any) -> None:
    assert MARKUP in page.locator("body").inner_text()
    assert page.locator("#app img, #app b, a[href^=javascript]").count() == 0


def votes_on(server: Server, comparison: str) -> list[dict[str, Any]]:
    """Oldest first."""
    votes: list[dict[str, Any]] = server.http.get(f"/v1/comparisons/{comparison}/votes").json()["data"]
    return votes[::-1]


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_a_comparison_is_made_ranked_by_an_invited_person_and_counted(server: Server, visit: Visit) -> None:
    owner = visit()
    page = owner.open("/comparisons", "Comparisons")
    page.get_by_role("link", name="New comparison").first.click()
    page.get_by_label("Name").fill(f"Clear {MARKUP}")
    page.get_by_label("One prompt in each line").fill("\n".join(PROMPTS))
    page.get_by_label("Responses to each prompt").fill("3")
    page.get_by_label("Tokens of a response").fill("8")
    page.get_by_label("Guidelines").fill(GUIDELINES)
    assert owner.serious_violations() == []
    page.get_by_role("checkbox", name="starter", exact=True).check()  # not chosen for us where others were trained
    page.get_by_role("button", name="Create comparison").click()
    page.get_by_text("3 items ready for votes.").wait_for(timeout=120_000)
    comparison = page.url.rpartition("/")[2]
    write_markup(server, comparison)
    page.get_by_label("Invite a person").fill(MARKUP)
    page.get_by_role("button", name="Invite", exact=True).click()
    link = page.locator(".code pre").inner_text()

    annotator = visit(state=None)
    booth = enter(annotator, link)
    assert booth.url == link.partition("#")[0]
    shows_only_text(booth)
    press(booth, "2", "1", "Enter")
    booth.get_by_text("1 of 3 · 2 left").wait_for()
    press(booth, "n")
    booth.get_by_label("Note").fill(MARKUP)
    booth.get_by_label("Note").press("Escape")
    press(booth, "3", "1", "=", "Enter")
    booth.get_by_text("2 of 3 · 1 left").wait_for()
    assert annotator.serious_violations() == []
    press(booth, "b", "Enter")
    booth.get_by_role("heading", name="Every item has the votes that it needs. Thank you.").wait_for()
    booth.get_by_role("button", name="Undo my last vote").click()
    booth.get_by_role("button", name="All bad", pressed=True).wait_for()
    press(booth, "1", "2", "3", "Enter")
    booth.get_by_role("heading", name="Thank you.").wait_for()
    assert annotator.serious_violations() == []
    first, second, third = votes_on(server, comparison)
    assert [first["shown"].index(each) for level in first["ranking"] for each in level] == [1, 0, 2]
    assert [[second["shown"].index(each) for each in level] for level in second["ranking"]] == [[2, 0], [1]]
    assert second["note"] == MARKUP
    assert [third["shown"].index(each) for level in third["ranking"] for each in level] == [0, 1, 2]
    assert all(vote["seconds"] >= 0 for vote in (first, second, third))

    shows_only_text(page)
    page.get_by_role("link", name="Results").click()
    page.get_by_text("7 more rankings are needed.").wait_for(timeout=60_000)
    assert page.get_by_role("button", name="Train").is_disabled()
    page.get_by_role("button", name="Export").click()
    page.get_by_text("3 rankings in").wait_for()
    shows_only_text(page)
    assert owner.serious_violations() == []


def test_a_vote_is_kept_while_the_server_is_away_and_the_next_item_is_there_at_once(
    server: Server, visit: Visit, ranked: str
) -> None:
    visitor = visit(state=None)
    link = invitation(server, ranked)
    page = enter(visitor, link)
    page.route("**/votes", lambda route: route.abort())
    seen = page.get_by_label("Prompt").inner_text()
    press(page, "1", "2", "3", "Enter")
    visitor.expect(page.get_by_label("Prompt")).not_to_have_text(seen)
    page.get_by_text("Fettle is not responding. 1 vote of yours is kept").wait_for()
    assert votes_on(server, ranked) == []
    page.close()
    page = visitor.context.new_page()
    page.goto(link)
    page.get_by_text("1 of 3 · 2 left").wait_for()
    wait_for(lambda: len(votes_on(server, ranked)) == 1, 30, "the vote")
    visitor.complaints.clear()  # the browser reports the requests that failed


def test_people_pick_by_touch_and_a_revoked_invitation_says_so(server: Server, visit: Visit) -> None:
    comparison = made(server, "pick", 2)
    visitor = visit("phone", "dark", state=None)
    page = enter(visitor, invitation(server, comparison))
    page.get_by_role("button", name="Response 2: Pick").click()
    page.get_by_role("button", name="Response 2: Picked").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visitor.serious_violations() == []
    page.get_by_role("button", name="Send").click()
    page.get_by_text("1 of 3").wait_for()
    press(page, "0", "Enter", "s", "Enter")
    page.get_by_role("heading", name="Thank you.").wait_for()
    picked, tie, skipped = votes_on(server, comparison)
    assert (picked["choice"], picked["ranking"][0]) == ("pick", [picked["shown"][1]])
    assert (tie["choice"], skipped["choice"]) == ("tie", "skip")
    (annotator,) = server.http.get(f"/v1/comparisons/{comparison}/annotators").json()["data"]
    server.http.delete(f"/v1/comparisons/{comparison}/annotators/{annotator['id']}")
    page.reload()
    page.get_by_text("This invitation was revoked.").wait_for()
    visitor.complaints.clear()  # the browser reports the 401 itself


def test_whoever_is_signed_in_votes_without_an_invitation_and_a_stranger_does_not(server: Server, visit: Visit) -> None:
    ranked = made(server, "rank", 3)  # one of its own: in the other, items are with people of other tests
    left = visit(state=None)
    enter(left, invitation(server, ranked, "Somebody who leaves"))
    left.page.goto("about:blank")  # gives the two items back that were fetched ahead, and keeps the one on the screen
    at = f"/v1/comparisons/{ranked}/next"
    wait_for(lambda: server.http.get(at).json()["progress"]["wanted"] == 2, 10, "the items to be free")
    page = enter(visit(), f"{server.url}/vote/{ranked}")
    page.get_by_role("link", name="Back to the comparison").wait_for()
    heads, places = page.locator(".answer header"), page.locator(".places")
    heads.nth(2).drag_to(page.locator(".gap.last"))
    heads.nth(0).drag_to(page.locator(".gap.last"))
    assert places.inner_text().split() == ["1st", "3", "2nd", "1"]
    heads.nth(1).drag_to(page.locator(".place").nth(0))  # onto a place: a tie
    assert places.inner_text().split() == ["1st", "3", "2", "2nd", "1"]
    stranger = visit(state=None)
    stranger.page.goto(f"{server.url}/vote/{ranked}")
    stranger.page.get_by_role("heading", name="Open your invitation again").wait_for()
    assert stranger.serious_violations() == []


@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_pages_of_comparisons_fit_the_screen(server: Server, visit: Visit, ranked: str, width: str) -> None:
    visitor = visit(width, "dark")
    pages = {
        "/comparisons": "Comparisons",
        "/new-comparison": "New comparison",
        f"/comparisons/{ranked}": "rank",
        f"/comparisons/{ranked}/results": "Results",
    }
    for path, heading in pages.items():
        page = visitor.open(path, heading)
        assert visitor.serious_violations() == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
