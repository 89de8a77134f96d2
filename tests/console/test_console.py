"""The console in a real browser, against a real server."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.console.conftest import MARKUP, Visitor
from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow

Visit = Callable[..., Visitor]
PAGES = {  # path → its heading; {job} is the finished job
    "/": "Home",
    "/jobs": "Jobs",
    "/jobs/{job}": "markup",
}


class TestSignIn:
    def test_a_printed_link_signs_in_once(self, server: Server, visit: Visit) -> None:
        env = {**os.environ, "FETTLE_DATA": str(server.data), "FETTLE_PORT": str(server.port)}
        printed = subprocess.run([sys.executable, "-m", "fettle", "console"], env=env, capture_output=True, check=True)
        link = printed.stdout.decode().split()[0]
        first = visit(state=None)
        first.page.goto(link)
        first.page.get_by_role("heading", level=1, name="Home").wait_for()
        second = visit(state=None)
        second.page.goto(link)
        second.page.get_by_text("This sign-in link was used or has expired.").wait_for()
        second.complaints.clear()  # the browser reports the 401 itself

    def test_a_page_is_shown_after_sign_in_and_not_after_sign_out(self, server: Server, visit: Visit) -> None:
        visitor = visit(state=None)
        visitor.page.goto(f"{server.url}/#/jobs")
        visitor.page.get_by_label("API key").fill(server.key)
        visitor.page.get_by_role("button", name="Sign in").click()
        visitor.page.get_by_role("heading", level=1, name="Jobs").wait_for()
        assert visitor.page.evaluate("document.cookie") == ""
        visitor.page.get_by_role("button", name="Sign out").click()
        visitor.page.get_by_text("You are signed out.").wait_for()
        visitor.page.goto(f"{server.url}/#/jobs")
        visitor.page.get_by_label("API key").wait_for()


class TestJob:
    def test_curves_result_and_samples_are_shown_and_markup_stays_text(self, visit: Visit, job: Any) -> None:
        page = visit().open(f"/jobs/{job.id}", "markup")
        page.locator(".curve canvas").first.wait_for()
        assert "Loss: from" in page.locator(".curve .plot").first.get_attribute("aria-label")
        page.get_by_text(job.fine_tuned_model, exact=True).wait_for()
        page.get_by_role("heading", name="Base against tuned").wait_for()
        page.locator(".said").first.wait_for()
        assert MARKUP in page.locator("main").inner_text()
        assert page.locator("main img, main b").count() == 0

    def test_a_job_is_cancelled_after_a_question(self, server: Server, visit: Visit) -> None:
        created = server.create(rows=64, epochs=50)
        page = visit().open(f"/jobs/{created.id}", created.id.removeprefix("ftjob-")[:8])
        page.get_by_role("button", name="Cancel job").click()
        page.get_by_role("button", name="Cancel the job").click()
        page.locator("h1").get_by_text("Cancelled").wait_for()
        assert server.client.fine_tuning.jobs.retrieve(created.id).status == "cancelled"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_every_page_is_accessible_and_fits_the_screen(visit: Visit, job: Any, width: str, scheme: str) -> None:
    visitor = visit(width, scheme)
    for path, heading in PAGES.items():
        page = visitor.open(path.format(job=job.id), heading)
        assert visitor.serious_violations() == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
