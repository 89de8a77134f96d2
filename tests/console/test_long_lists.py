"""Lists of thousands of rows in a real browser. Their pages are made here: five thousand jobs would take an hour."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.console.conftest import Visitor

pytestmark = pytest.mark.slow

Visit = Callable[..., Visitor]
JOB = {"status": "succeeded", "method": {"type": "supervised"}, "model": "starter", "created_at": 1, "finished_at": 9}


class TestLongLists:
    """5,000 jobs, as the API would page them: only the rows near those that are seen are in the document."""

    COUNT = 5_000

    def serve(self, page: Any) -> list[str]:
        """The cursors that the page asks for."""
        asked: list[str] = []

        def answer(route: Any) -> None:
            query = parse_qs(urlsplit(route.request.url).query)
            after, limit = query.get("after", [""])[0], int(query["limit"][0])
            asked.append(after)
            start = int(after.removeprefix("ftjob-")) + 1 if after else 0
            end = min(start + limit, self.COUNT)
            data = [
                {**JOB, "id": f"ftjob-{number}", "user_provided_suffix": f"run-{number}"}
                for number in range(start, end)
            ]
            route.fulfill(json={"object": "list", "data": data, "has_more": end < self.COUNT})

        page.route("**/v1/fine_tuning/jobs?*", answer)
        return asked

    @pytest.mark.parametrize("width", ["desktop", "phone"])
    def test_thousands_of_rows_scroll_and_few_are_in_the_document(self, visit: Visit, width: str) -> None:
        visitor = visit(width)
        asked = self.serve(visitor.page)
        page = visitor.open("/jobs", "Jobs")
        rows = page.locator("tbody tr[data-place]")
        page.get_by_role("link", name="run-0", exact=True).focus()
        page.wait_for_function(
            """last => {
                scrollTo(0, document.body.scrollHeight);  // the reader scrolls, and the next pages come
                return document.querySelector(`tbody tr[data-place="${last}"]`);
            }""",
            arg=self.COUNT - 1,
        )
        page.get_by_role("link", name=f"run-{self.COUNT - 1}", exact=True).wait_for()
        assert rows.count() < 120
        assert len(set(asked)) == self.COUNT // 100
        table = page.get_by_role("table")
        assert table.get_attribute("aria-rowcount") == str(self.COUNT + 1)
        assert rows.last.get_attribute("aria-rowindex") == str(self.COUNT + 1)
        assert page.evaluate("document.activeElement.textContent") == "run-0"  # far away, and still there
        page.keyboard.press("Tab")
        page.get_by_role("link", name="run-1", exact=True).wait_for()
        assert page.evaluate("document.activeElement.textContent") == "run-1"
        assert visitor.serious_violations() == []
