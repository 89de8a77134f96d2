"""On a narrow screen: a file is corrected and trained on, and each question before something final is readable."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.console.conftest import MARKUP, Visitor
from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow

Visit = Callable[..., Visitor]


def fits(visitor: Visitor) -> None:
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visitor.serious_violations() == []


def test_a_file_with_errors_is_corrected_and_trained_on(server: Server, visit: Visit) -> None:
    visitor = visit("phone")
    page = visitor.open("/datasets", "Datasets")
    rows = [f'{{"prompt": "What is {number}?", "completion": "It is {number}. {MARKUP}"}}' for number in range(12)]
    wrong = "\n".join([*rows, '{"prompt": "no completion"}']).encode()
    page.locator("input[type=file]").set_input_files({"name": "mine.jsonl", "mimeType": "x/y", "buffer": wrong})
    page.get_by_text("Line 13", exact=True).wait_for()
    fits(visitor)
    right = "\n".join(rows).encode()
    page.locator("input[type=file]").set_input_files({"name": "mended.jsonl", "mimeType": "x/y", "buffer": right})
    page.get_by_role("heading", level=1, name="mended.jsonl").wait_for()
    page.locator(".tokens .learned").first.wait_for()
    fits(visitor)
    page.get_by_role("link", name="Train on it").click()
    page.get_by_role("heading", level=1, name="New job").wait_for()
    page.get_by_label("Name (optional)").fill("on-a-phone")
    fits(visitor)
    page.get_by_role("button", name="Start the job").click()
    page.get_by_role("heading", level=1, name="on-a-phone").wait_for()
    fits(visitor)
    newest = server.client.fine_tuning.jobs.list(limit=1).data[0]
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("heading", name="Cancel on-a-phone?").wait_for()
    fits(visitor)
    page.get_by_role("button", name="Cancel the job").click()
    page.locator("h1").get_by_text("Cancelled").wait_for()
    assert server.client.fine_tuning.jobs.retrieve(newest.id).status == "cancelled"


def test_the_menu_and_each_question_before_something_final_are_accessible(visit: Visit, job: Any) -> None:
    visitor = visit("phone", "dark")
    asked = {
        f"/datasets/{job.training_file}": ("<b>", "Delete", "Delete "),
        f"/models/{quote(job.fine_tuned_model, safe='')}": ("ft:starter", "Delete", "Delete this model?"),
        "/keys": ("Keys and quotas", "Revoke admin", "Revoke admin?"),
    }
    for path, (heading, button, question) in asked.items():
        page = visitor.open(path, heading)
        page.get_by_role("button", name=button, exact=True).first.click()
        page.get_by_role("dialog").get_by_role("heading", name=question).wait_for()
        fits(visitor)
        assert page.locator("dialog img, dialog b").count() == 0
        page.get_by_role("button", name="Keep it as it is").click()
        page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Audit log").wait_for()
    fits(visitor)
