"""The console's lessons: their data, their job requests, and one of them run for real in a browser."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from api.console.assets import FOLDER
from examples import lessons
from fettle.reports.curves import CURVES
from tests.console.conftest import Visitor
from tests.e2e.conftest import Server, wait_for

Visit = Callable[..., Visitor]
LESSONS = {  # id → the heading of its page
    "sft": "Show it the answers",
    "reasoning": "Show it the way to the answer",
    "rlhf": "Rank its answers",
    "dpo": "Pick the better one",
    "grpo": "Let it try, and check the result",
}
MINUTES = 60_000  # milliseconds


def shipped(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (lessons.FOLDER / f"{name}.jsonl").read_text().splitlines()]


class TestData:
    def test_the_shipped_rows_are_those_that_the_generator_writes(self) -> None:
        for name, rows in lessons.files().items():
            assert shipped(name) == rows, name

    def test_the_better_response_of_each_pair_is_right_and_reasoned_and_the_worse_one_is_not_the_same(self) -> None:
        for name, split in (("pairs", "train"), ("pairs_held_out", "held_out")):
            reasoned = {row["prompt"]: row["completion"] for row in lessons.made(lessons.reasoned, 400, split)}  # type: ignore[arg-type]
            for row in shipped(name):
                assert row["chosen"] == reasoned[row["prompt"]]
                assert row["rejected"] not in ("", row["chosen"])

    def test_no_lesson_trains_on_a_question_of_the_exam_or_of_a_held_out_file(self) -> None:
        names = {path.stem for path in lessons.FOLDER.glob("*.jsonl")}
        unseen = {name for name in names if name.endswith("held_out")} | {"exam"}
        prompts = {name: {row["prompt"] for row in shipped(name)} for name in names}
        trained_on = set().union(*(prompts[name] for name in names - unseen))
        for name in unseen:
            assert prompts[name] & trained_on == set(), name

    def test_the_files_are_small(self) -> None:
        sizes = {path.name: path.stat().st_size for path in lessons.FOLDER.glob("*.jsonl")}
        assert max(sizes.values()) < 200_000
        assert sum(sizes.values()) < 500_000


def with_sources(page: Any) -> Any:
    """A page that can import our modules one by one. The server sends them as one file."""

    def send(route: Any) -> None:
        _, _, name = route.request.url.partition("/console/")[2].partition("/")
        route.fulfill(path=FOLDER / name, content_type="text/javascript")

    page.route(re.compile(r"/console/\w+/(lib|learn)/.+\.js$"), send)
    return page


@pytest.mark.slow
class TestPages:
    def test_each_lesson_shows_its_words_its_picture_and_its_data(self, visit: Visit) -> None:
        visitor = visit()
        visitor.open("/learn", "Learn")
        assert visitor.page.locator(".lesson-card").count() == len(LESSONS)
        for lesson, heading in LESSONS.items():
            page = visitor.open(f"/learn/{lesson}", heading)
            page.locator(".lesson-figure svg[role=img]").wait_for()
            page.locator(".cell-text").first.wait_for()
            assert page.get_by_role("button", name="Train the starter").is_disabled(), "before the guess"
            assert visitor.serious_violations() == [], lesson

    def test_an_unknown_lesson_says_which_there_are(self, visit: Visit) -> None:
        page = visit().open("/learn/tea", "Lesson")
        page.get_by_text("The lessons are sft, reasoning, rlhf, dpo, grpo.").wait_for()

    def test_do_it_with_your_own_data_opens_a_new_job_with_the_method(self, visit: Visit) -> None:
        page = visit().open("/learn/grpo", LESSONS["grpo"])
        page.get_by_role("link", name="New job with GRPO").click()
        page.get_by_role("heading", level=1, name="New job").wait_for()
        assert page.get_by_label("GRPO").is_checked()

    def test_a_job_page_and_a_report_draw_the_same_metrics_together(self, visit: Visit) -> None:
        page = with_sources(visit().open("/learn", "Learn"))
        names = [name for curve in CURVES for name in curve.names]
        charts = page.evaluate(
            """async (names) => {
              const base = document.querySelector('script[src$="main.js"]').src.replace("main.js", "");
              const { chartsOf } = await import(base + "lib/metrics.js");
              return chartsOf(names).map((chart) => chart.metrics);
            }""",
            names,
        )
        for curve in CURVES:
            assert any(set(curve.names) <= set(metrics) for metrics in charts), curve.title

    def test_the_api_takes_the_job_of_each_lesson(self, server: Server, visit: Visit) -> None:
        page = with_sources(visit().open("/learn", "Learn"))
        found = page.evaluate("""async () => {
          const base = document.querySelector('script[src$="main.js"]').src.replace("main.js", "learn/");
          const { LESSONS } = await import(base + "lessons/index.js");
          const { bodyOf } = await import(base + "start.js");
          return LESSONS.map((lesson) => ({
            id: lesson.id,
            training: lesson.job.training ?? lesson.people.others,
            validation: lesson.job.validation,
            body: bodyOf(lesson, {}),
          }));
        }""")
        assert [each["id"] for each in found] == list(LESSONS)
        for each in found:
            body = each["body"]
            for field in ("training", "validation"):
                content = (lessons.FOLDER / f"{each[field]}.jsonl").read_bytes()
                file = server.client.files.create(file=(f"{field}.jsonl", content), purpose="fine-tune")
                body[f"{field}_file"] = file.id
            answer = server.http.post("/v1/fine_tuning/estimate", json=body)
            assert answer.status_code == 200, (each["id"], answer.text)
            assert answer.json()["steps"] > 0


@pytest.mark.slow
class TestRuns:
    @pytest.mark.timeout(900)
    def test_the_first_lesson_runs_to_its_result_which_a_reload_keeps(self, server: Server, visit: Visit) -> None:
        visitor = visit()
        page = visitor.open("/learn/sft", LESSONS["sft"])
        page.get_by_role("radio").nth(1).check()
        page.get_by_role("button", name="Train the starter").click()
        page.get_by_role("heading", name="The run").wait_for()
        page.reload()  # the job goes on, and the page finds it again
        page.locator(".curve canvas").first.wait_for(timeout=3 * MINUTES)
        page.locator(".before-after").wait_for(timeout=4 * MINUTES)
        job = server.client.fine_tuning.jobs.list(limit=1).data[0]
        assert (job.metadata, job.status) == ({"lesson": "sft"}, "succeeded")
        figures = page.locator(".before-after").inner_text()
        (before, after) = next(cells for name, *cells in rows_of(page) if name == "A number and a thing")
        assert share_in(before) < 20, figures
        assert share_in(after) > 80, figures
        assert visitor.serious_violations() == []
        asked = page.locator(".sides").count()
        page.reload()
        page.locator(".before-after").wait_for()
        assert page.locator(".before-after").inner_text() == figures
        assert page.locator(".sides").count() == asked > 0
        visitor.open("/learn", "Learn")
        visitor.page.get_by_text("Done", exact=True).wait_for()
        assert visitor.page.locator(".choose").get_by_text("→").count() >= 1

    @pytest.mark.timeout(600)
    def test_votes_are_made_on_the_voting_page_which_leads_back_to_the_lesson(
        self, server: Server, visit: Visit
    ) -> None:
        visitor = visit()
        page = visitor.open("/learn/dpo", LESSONS["dpo"])
        page.get_by_role("radio").first.check()
        page.get_by_text("Vote on at least one item first.").wait_for()
        page.get_by_role("button", name="Let the starter write answers").click()
        page.get_by_role("link", name="Pick the better answers").click(timeout=3 * MINUTES)
        page.get_by_role("button", name="Start").click()
        page.locator(".asked").wait_for()
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        assert page.get_by_role("link", name="Back to the lesson").first.get_attribute("href") == "/#/learn/dpo"
        newest = "/v1/comparisons?limit=1"
        wait_for(lambda: server.http.get(newest).json()["data"][0]["progress"]["votes"] == 1, 60, "the vote")
        lesson = visitor.context.new_page()  # the page of the vote asks before it closes while a vote is under way
        lesson.goto(f"{server.url}/#/learn/dpo")
        lesson.get_by_text(re.compile(r"You voted on 1 of \d items?\.")).wait_for(timeout=MINUTES)
        visitor.expect(lesson.get_by_role("button", name="Train the starter")).to_be_enabled(timeout=MINUTES)


def rows_of(page: Any) -> list[list[str]]:
    """Name and cells of each figure."""
    found: list[list[str]] = page.locator(".before-after tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    return found


def share_in(cell: str) -> float:
    (share,) = re.findall(r"([\d.]+)%", cell)
    return float(share)
