"""`make screenshots`: every page of the console at both widths and in both colour schemes, as PNG files to look at.

python -m tests.console.screenshots [FOLDER]

Starts a server of its own, trains two small jobs, and leaves a third one running and a fourth one waiting.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from examples import grpo
from fettle.cli.up import free_port
from tests.console.conftest import CHROMIUM, WIDTHS
from tests.console.test_console import PAGES
from tests.e2e.conftest import Server

BROKEN = b'{"messages": [{"role": "user", "content": "hi"}]}\n{"prompt": "a"}\nnot json\n'
PROMPT = "Tom has 24 cards and buys 2 more. How many cards does Tom have now?"


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    if CHROMIUM is None:
        raise SystemExit("Chromium is not installed. As root, `make system` installs it.")
    with tempfile.TemporaryDirectory(prefix="fettle-screenshots-") as scratch:
        server = Server(Path(scratch) / "data", free_port())
        try:
            shoot(server, folder, names_of(server))
        finally:
            server.stop()
    print(f"{len(list(folder.glob('*.png')))} pictures are in {folder}/.")


def names_of(server: Server) -> dict[str, str]:
    """What the pages show, and the ids in their paths."""
    client: Any = server.client
    held_out = server.upload(40, "held_out")
    supervised = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 8}}}
    training = server.upload(160)
    job = client.fine_tuning.jobs.create(
        model="starter", training_file=training, validation_file=held_out, suffix="word-problems", method=supervised
    )
    prompts = client.files.create(file=("questions.jsonl", b"".join(grpo.rows(64, "train", 1))), purpose="fine-tune")
    reinforcement = {
        "type": "reinforcement",
        "reinforcement": {
            "reward_functions": grpo.REWARDS,
            "hyperparameters": {"n_epochs": 2, "max_completion_tokens": 40},
        },
    }
    rewarded = client.fine_tuning.jobs.create(
        model="starter", training_file=prompts.id, validation_file=prompts.id, suffix="rewarded", method=reinforcement
    )
    broken = client.files.create(file=("customer-mails.jsonl", BROKEN), purpose="fine-tune")
    ended = server.wait_for_end(job.id, 600)
    server.wait_for_end(rewarded.id, 600)
    server.create(rows=400, epochs=50, suffix="overnight")
    server.create(rows=64, epochs=2, suffix="next-in-line")
    return {
        "job": job.id,
        "rewarded": rewarded.id,
        "file": training,
        "broken": broken.id,
        "model": quote(str(ended.fine_tuned_model), safe=""),
    }


def shoot(server: Server, folder: Path, names: dict[str, str]) -> None:
    from playwright.sync_api import sync_playwright

    paths = [
        "/sign-in",
        *PAGES,
        "/jobs/{rewarded}",
        "/datasets/{broken}",
        f"/playground?models=starter,{names['model']}",
    ]
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        signed_in = browser.new_context()
        signed_in.request.post(f"{server.url}/session", data={"api_key": server.key})
        for width, (wide, high) in WIDTHS.items():
            for scheme in ("light", "dark"):
                for path in paths:
                    state = None if path == "/sign-in" else signed_in.storage_state()
                    context = browser.new_context(
                        viewport={"width": wide, "height": high}, color_scheme=scheme, storage_state=state
                    )
                    page = context.new_page()
                    page.goto(f"{server.url}/#{path.format(**names)}")
                    page.locator("h1").wait_for()
                    if "?" in path:
                        page.get_by_label("Prompt", exact=True).fill(PROMPT)
                        page.get_by_role("button", name="Ask").click()
                    page.wait_for_timeout(1200)  # for curves and figures
                    page.screenshot(path=folder / f"{name_of(path)}-{width}-{scheme}.png", full_page=True)
                    context.close()
        browser.close()


def name_of(path: str) -> str:
    """/jobs/{rewarded} → jobs-rewarded"""
    plain = path.partition("?")
    words = plain[0].strip("/").replace("/", "-").replace("{", "").replace("}", "") or "home"
    return f"{words}-asked" if plain[1] else words


if __name__ == "__main__":
    main()
