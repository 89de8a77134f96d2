"""The console in a real browser, against a real server."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.console.conftest import MARKUP, Visitor
from tests.e2e.conftest import Server

pytestmark = pytest.mark.slow

Visit = Callable[..., Visitor]
PAGES = {  # path → its heading, or a part of it
    "/": "Home",
    "/learn": "Learn",
    "/learn/sft": "Show it the answers",
    "/learn/rlhf": "Rank its answers",
    "/jobs": "Jobs",
    "/jobs/{job}": "markup",
    "/new-job": "New job",
    "/datasets": "Datasets",
    "/datasets/{file}": "<b>",
    "/rewards": "Rewards",
    "/new-reward": "New reward function",
    "/models": "Models",
    "/models/{model}": "ft:starter",
    "/playground": "Playground",
    "/keys": "Keys and quotas",
    "/system": "System",
    "/audit": "Audit log",
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


class TestDatasets:
    def test_a_dropped_file_shows_its_problems_at_their_lines_and_the_corrected_one_its_tokens(
        self, visit: Visit
    ) -> None:
        page = visit().open("/datasets", "Datasets")
        wrong = b'{"prompt": "a", "completion": "b"}\n{"prompt": "<i>no completion</i>"}\nnot JSON\n'
        page.locator("input[type=file]").set_input_files({"name": "w.jsonl", "mimeType": "x/y", "buffer": wrong})
        page.get_by_role("heading", name="Problems").wait_for()
        assert page.locator(".tag").all_inner_texts()[:2] == ["Line 2", "Line 3"]
        right = b'{"prompt": "a", "completion": "b"}\n' * 12
        page.locator("input[type=file]").set_input_files({"name": "r.jsonl", "mimeType": "x/y", "buffer": right})
        page.get_by_role("heading", level=1, name="r.jsonl").wait_for()
        page.locator(".tokens .learned").first.wait_for()
        page.get_by_text("11 of the 12 rows repeat an earlier row whole.").wait_for()

    def test_a_dataset_shows_its_lengths_and_what_it_shares_with_another(
        self, server: Server, visit: Visit, job: Any
    ) -> None:
        rows = [f'{{"prompt": "{MARKUP * n} 7", "completion": "b"}}' for n in (0, 1, 5)]
        page = visit().open(f"/datasets/{job.training_file}", "<b>")
        page.get_by_text("None of the 24 rows comes twice.").wait_for()
        content = "\n".join(rows).encode()
        mine = server.client.files.create(file=("lengths.jsonl", content), purpose="fine-tune")
        page = visit().open(f"/datasets/{mine.id}", "lengths.jsonl")
        page.get_by_text("Tokens in a row: from").wait_for()
        page.get_by_label("Overlap with").select_option(job.training_file)
        page.get_by_text("1 row of this dataset has a prompt that the other one has as well.").wait_for()
        page.get_by_text("Shared lines").click()
        page.get_by_text("Line 2 is in line 8 of the other").wait_for()


class TestNewJob:
    def test_only_what_the_method_needs_is_asked_and_the_code_makes_the_same_job(
        self, server: Server, visit: Visit, job: Any
    ) -> None:
        page = visit().open(f"/new-job?file={job.training_file}", "New job")
        assert page.get_by_role("heading", name="Rewards").count() == 0
        page.get_by_label("GRPO").check()
        page.get_by_role("heading", name="Rewards").wait_for()
        page.get_by_label("SFT").check()
        page.get_by_text("See the tokens, and which of them are learned").click()
        page.locator(".tokens .learned").first.wait_for()
        page.get_by_text("Settings (all of them have good defaults)").click()
        page.get_by_label("Epochs").fill("1")
        page.get_by_label("Name (optional)").fill("by-hand")
        assert '"n_epochs": 1' in page.locator(".code pre").inner_text()
        page.get_by_role("button", name="Start the job").click()
        page.get_by_role("heading", level=1, name="by-hand").wait_for()
        newest = server.client.fine_tuning.jobs.list(limit=1).data[0]
        assert (newest.user_provided_suffix, newest.hyperparameters.n_epochs) == ("by-hand", 1)
        server.wait_for_end(newest.id)


class TestRewards:
    def test_a_function_is_written_tried_saved_changed_and_dry_run(
        self, server: Server, visit: Visit, job: Any
    ) -> None:
        visitor = visit()
        page = visitor.open("/rewards", "Rewards")
        page.get_by_role("link", name="Write a function").click()
        page.get_by_label("Name").fill("mark_up")
        source = page.get_by_label("Source", exact=True)
        source.fill(f"def reward(prompt, completion, example):\nprint({MARKUP!r})")
        source.press("Home")
        source.press("Tab")
        source.press("Control+End")
        source.press_sequentially('\n    return 2.0 * (completion == example["answer"])')
        page.get_by_label("Completion 1").fill("5")
        page.get_by_label("Row 2").fill("no JSON")
        page.get_by_role("button", name="Try on 2 samples").click()
        page.get_by_text("The row of sample 2 is not a JSON object.").wait_for()
        page.get_by_label("Row 2").fill("{}")
        page.get_by_role("button", name="Try on 2 samples").click()
        page.get_by_text("1. Score 2").wait_for()
        page.get_by_text("KeyError: 'answer'").wait_for()
        assert page.locator("main img, main b").count() == 0
        assert visitor.serious_violations() == []
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("heading", level=1, name="mark_up").wait_for()
        assert page.get_by_role("button", name="Save as version 2").is_disabled()
        first = page.url
        changed = "def reward(prompt, completion, example):\n    return 7.0"
        source.fill(changed)
        page.get_by_role("button", name="Save as version 2").click()
        page.get_by_role("button", name="Save as version 3").wait_for()
        page.get_by_role("link", name="Version 1").click()
        page.get_by_text("Version 1 of 2.").wait_for()
        assert page.url == first
        assert "answer" in source.input_value()
        page.get_by_role("link", name="Version 2").click()
        visitor.expect(source).to_have_value(changed)

        page.get_by_role("link", name="Train with it").click()
        page.get_by_role("checkbox", name="mark_up", checked=True).wait_for()
        page.get_by_label("Dataset", exact=True).select_option(job.training_file)
        page.get_by_role("button", name="Try the rewards").click()
        page.get_by_role("region", name="Scores").get_by_role("row", name="mark_up 7 7 7").wait_for()
        assert '"version": 2' in page.locator(".code pre").inner_text()
        assert visitor.serious_violations() == []


class TestKeys:
    def test_a_key_has_an_owner_and_a_project_is_deleted_after_its_name_is_typed(
        self, server: Server, visit: Visit
    ) -> None:
        visitor = visit()
        page = visitor.open("/keys", "Keys and quotas")
        page.get_by_label("Name of the project").fill("short-lived")
        page.get_by_role("button", name="Create project").click()
        page.get_by_role("heading", name="Quotas of short-lived").wait_for()
        page.get_by_label("Name", exact=True).fill("laptop")
        page.get_by_label("Owner (optional)").fill(MARKUP)
        page.get_by_role("button", name="Create key").click()
        page.get_by_role("cell", name=MARKUP).wait_for()
        assert page.locator("main img, main b").count() == 0
        page.get_by_role("button", name="Delete the project").click()
        sure = page.get_by_role("button", name="Delete everything in it")
        assert sure.is_disabled()
        assert visitor.serious_violations() == []
        page.get_by_label("Type short-lived to go on").fill("short-lived")
        sure.click()
        page.get_by_role("heading", name="Quotas of default").wait_for()
        names = [each["name"] for each in server.http.get("/v1/projects").json()["data"]]
        assert "short-lived" not in names


class TestPlayground:
    def test_two_models_answer_side_by_side_and_the_answers_become_a_comparison(
        self, server: Server, visit: Visit, job: Any
    ) -> None:
        both = quote(f"starter,{job.fine_tuned_model}")
        page = visit().open(f"/playground?models={both}", "Playground")
        page.get_by_label("Prompt", exact=True).fill(MARKUP)
        page.get_by_role("button", name="Ask 2 models").click()
        answers = page.locator("article .reply")
        for place in range(2):
            answers.nth(place).get_by_text("Thinking").wait_for(state="detached")
        assert page.locator("main article img").count() == 0
        page.get_by_role("button", name="Save as a comparison").click()
        page.get_by_text("The comparison is saved.").wait_for()
        made = server.http.get("/v1/comparisons").json()["data"][0]
        assert made["models"] == ["starter", job.fine_tuned_model]


@pytest.mark.parametrize(("width", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_every_page_is_accessible_and_fits_the_screen(visit: Visit, job: Any, width: str, scheme: str) -> None:
    visitor = visit(width, scheme)
    for path, heading in PAGES.items():
        names = {"job": job.id, "file": job.training_file, "model": quote(job.fine_tuned_model, safe="")}
        page = visitor.open(path.format(**names), heading)
        assert visitor.serious_violations() == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
