"""A real server with a finished job, and a real Chromium that is signed in to its console."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fettle.cli.up import free_port
from tests.e2e.conftest import Server

CHROMIUM = shutil.which("chromium")
HERE = Path(__file__).parent
MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"  # in every field that shows what somebody wrote
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("console") / "data", free_port())
    yield started
    started.stop()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Visitor:
    """One browser context: what it complained about, and its page."""

    def __init__(self, context: Any, url: str) -> None:
        from playwright.sync_api import expect

        self.context, self.url, self.expect = context, url, expect
        self.page = context.new_page()
        self.page.set_default_timeout(60_000)  # a busy machine is slow
        expect.set_options(timeout=60_000)
        self.complaints: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def open(self, path: str, heading: str) -> Any:
        self.page.goto(f"{self.url}/#{path}")
        self.page.get_by_role("heading", level=1, name=heading).wait_for()
        self.expect(self.page.locator(".loading")).to_have_count(0, timeout=60_000)
        return self.page

    def serious_violations(self) -> list[str]:
        """What axe finds, as sentences."""
        self.page.evaluate((HERE / "axe.min.js").read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]


@pytest.fixture(scope="package")
def signed_in(chromium: Any, server: Server) -> Any:
    """A browser's cookies after sign-in."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{server.url}/")
    page.get_by_label("API key").fill(server.key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", level=1, name="Home").wait_for()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def visit(chromium: Any, server: Server, signed_in: Any) -> Iterator[Callable[..., Visitor]]:
    """A signed-in visitor of a width and a colour scheme. No page may write an error to the browser's console."""
    visitors: list[Visitor] = []

    def start(width: str = "desktop", scheme: str = "light", state: Any = signed_in) -> Visitor:
        wide, high = WIDTHS[width]
        size = {"width": wide, "height": high}
        context = chromium.new_context(viewport=size, color_scheme=scheme, storage_state=state)
        visitors.append(Visitor(context, server.url))
        return visitors[-1]

    yield start
    for visitor in visitors:
        visitor.context.close()
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []


@pytest.fixture(scope="package")
def job(server: Server) -> Any:
    """A finished job whose texts hold markup."""
    rows = [
        {"messages": [{"role": "user", "content": f"{MARKUP} {n}"}, {"role": "assistant", "content": MARKUP}]}
        for n in range(24)
    ]
    content = "\n".join(json.dumps(row) for row in rows).encode()
    training = server.client.files.create(file=(f"{MARKUP.replace('/', '')}.jsonl", content), purpose="fine-tune")
    method: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 8}}}
    created = server.client.fine_tuning.jobs.create(
        model="starter",
        training_file=training.id,
        validation_file=training.id,
        suffix="markup",
        metadata={"note": MARKUP},
        method=method,
    )
    ended = server.wait_for_end(created.id)
    assert ended.status == "succeeded", ended.error
    return ended
