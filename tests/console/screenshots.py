"""`make screenshots`: every page of the console at both widths and in both colour schemes, as PNG files to look at.

python -m tests.console.screenshots [FOLDER] [--only /learn /jobs …]

Starts a server of its own, walks through a lesson as a learner does, votes on a comparison, and leaves one job running
and another one waiting. Takes a few minutes, and says what it does.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from examples import grpo
from examples.word_problems import problems
from fettle.cli.up import free_port
from tests.console.conftest import CHROMIUM, WIDTHS
from tests.console.test_console import PAGES
from tests.e2e.conftest import Server, wait_for

BROKEN = b'{"messages": [{"role": "user", "content": "hi"}]}\n{"prompt": "a"}\nnot json\n'
PROMPT = "Tom has 24 cards and buys 2 more. How many cards does Tom have now?"
MORE_PAGES = [
    "/sign-in",
    "/learn/reasoning",
    "/learn/dpo",
    "/learn/grpo",
    "/jobs/{rewarded}",
    "/jobs/{running}",
    "/jobs/{rewarded}/rollouts",
    "/datasets/{broken}",
    "/comparisons",
    "/new-comparison",
    "/comparisons/{comparison}",
    "/comparisons/{comparison}/results",
    "/vote/{comparison}",
    "/playground?models=starter,{model}",
]
MINUTE = 60_000  # milliseconds
BEGAN = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("screenshots"))
    parser.add_argument("--only", nargs="*", metavar="PATH", help="of the pages, such as /learn")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if CHROMIUM is None:
        raise SystemExit("Chromium is not installed. As root, `make system` installs it.")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="fettle-screenshots-") as scratch, sync_playwright() as playwright:
        say("starting a server")
        server = Server(Path(scratch) / "data", free_port())
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            state = learn(server, browser)
            shoot(server, browser, state, names_of(server), options.folder, options.only)
        finally:
            browser.close()
            server.stop()
    print(f"{len(list(options.folder.glob('*.png')))} pictures are in {options.folder}/.")


def say(what: str) -> None:
    print(f"{time.monotonic() - BEGAN:4.0f} s  {what}", flush=True)


def learn(server: Server, browser: Any) -> Any:
    """Signs in and takes a lesson to its result; the browser's cookies and what it keeps."""
    say("taking a lesson")
    context = browser.new_context()
    context.set_default_timeout(5 * MINUTE)
    context.request.post(f"{server.url}/session", data={"api_key": server.key})
    page = context.new_page()
    page.goto(f"{server.url}/#/learn/reasoning")
    page.get_by_role("radio").last.check()
    page.get_by_role("button", name="Train the starter").click()
    page.locator(".before-after").wait_for()
    state = context.storage_state()
    context.close()
    return state


def names_of(server: Server) -> dict[str, str]:
    """What the pages show, and the ids in their paths."""
    client: Any = server.client
    lesson = client.fine_tuning.jobs.list(limit=1).data[0]
    say("training with rewards")
    prompts = client.files.create(file=("questions.jsonl", b"".join(grpo.rows(64, "train", 1))), purpose="fine-tune")
    hyperparameters = {"n_epochs": 2, "batch_size": 16, "max_completion_tokens": 40}
    method = {
        "type": "reinforcement",
        "reinforcement": {"reward_functions": grpo.REWARDS, "hyperparameters": hyperparameters},
    }
    rewarded = client.fine_tuning.jobs.create(
        model="starter", training_file=prompts.id, validation_file=prompts.id, suffix="rewarded", method=method
    )
    server.wait_for_end(rewarded.id, 600)
    say("voting")
    comparison = voted(server, lesson.fine_tuned_model)
    broken = client.files.create(file=("customer-mails.jsonl", BROKEN), purpose="fine-tune")
    running = server.create(rows=400, epochs=50, suffix="overnight")
    server.create(rows=64, epochs=2, suffix="next-in-line")
    return {
        "job": lesson.id,
        "rewarded": rewarded.id,
        "running": running.id,
        "file": lesson.training_file,
        "broken": broken.id,
        "model": quote(str(lesson.fine_tuned_model), safe=""),
        "comparison": comparison,
    }


def voted(server: Server, tuned: str) -> str:
    """A comparison with votes on most of its items; two people like answers that show their steps."""
    stream = problems("held_out", 5)
    body = {
        "name": "Which answer is clearer?",
        "models": ["starter", tuned],
        "prompts": [next(stream).question for _ in range(12)],
        "n": 2,
        "mode": "pick",
        "overlap": "full",
        "instructions": "Pick the answer that is **right**. If both are, pick the one that shows how it was found.",
        "sampling": {"temperature": 0, "max_completion_tokens": 40},
    }
    made: dict[str, Any] = server.http.post("/v1/comparisons", json=body).raise_for_status().json()
    at = f"/v1/comparisons/{made['id']}"
    wait_for(lambda: server.http.get(at).json()["status"] == "ready", 300, "the responses")
    for name in ("Ann", "Ben"):
        invitation = server.http.post(f"{at}/annotators", json={"name": name}).raise_for_status().json()
        headers = {"Authorization": f"Bearer {invitation['token']}"}
        for _ in range(11):
            item = server.http.get(f"{at}/next", headers=headers).raise_for_status().json()["item"]
            best = max(item["responses"], key=lambda response: len(response["text"]))
            ballot = {"item_id": item["id"], "vote_id": item["vote_id"], "pick": best["id"], "seconds": 6.5}
            server.http.post(f"{at}/votes", json=ballot, headers=headers).raise_for_status()
    return str(made["id"])


def shoot(
    server: Server, browser: Any, state: Any, names: dict[str, str], folder: Path, only: list[str] | None
) -> None:
    paths = [path for path in [*PAGES, *MORE_PAGES] if only is None or path in only]
    for width, (wide, high) in WIDTHS.items():
        for scheme in ("light", "dark"):
            say(f"taking {len(paths)} pictures, {width}, {scheme}")
            size = {"width": wide, "height": high}
            look = {"viewport": size, "color_scheme": scheme}
            signed_in = browser.new_context(**look, storage_state=state)  # one for all: its cache holds the console
            stranger = browser.new_context(**look)
            for path in dict.fromkeys(paths):
                page = (stranger if path == "/sign-in" else signed_in).new_page()
                page.set_default_timeout(MINUTE)
                open_page(page, server, path, names)
                page.screenshot(path=folder / f"{name_of(path)}-{width}-{scheme}.png", full_page=True)
                page.close()
            signed_in.close()
            stranger.close()


def open_page(page: Any, server: Server, path: str, names: dict[str, str]) -> None:
    """Until it shows what it has to show."""
    from playwright.sync_api import expect

    alone = path.startswith("/vote/")
    page.goto(f"{server.url}{'' if alone else '/#'}{path.format(**names)}")
    if alone:
        page.get_by_role("button", name="Start").click()
    page.locator("h1").first.wait_for()
    if "?" in path:
        page.get_by_label("Prompt", exact=True).fill(PROMPT)
        page.get_by_role("button", name="Ask").click()
        page.get_by_text("Thinking").last.wait_for(state="detached")
    expect(page.locator(".loading")).to_have_count(0, timeout=MINUTE)
    page.wait_for_timeout(700)  # for curves to be drawn


def name_of(path: str) -> str:
    """/jobs/{rewarded} → jobs-rewarded"""
    plain, asked, _ = path.partition("?")
    words = plain.strip("/").replace("/", "-").replace("{", "").replace("}", "") or "home"
    return f"{words}-asked" if asked else words


if __name__ == "__main__":
    main()
