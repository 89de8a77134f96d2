"""Reports of a job whose every text was written by somebody who means harm."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from fettle.reports import contents, html, markdown
from fettle.reports.document import visible

EVIL = (
    '</pre><script src="https://evil.example/x.js">alert(1)</script> [a](https://evil.example) ![b](//x) ```\n| c '
    "\u202e"
)
CALM = "plain"


def facts(text: str) -> dict[str, Any]:
    sample = {"prompt": [{"role": "user", "content": text}], "expected": text, "base": text, "tuned": text}
    return {
        "job": {
            "id": "ftjob-1", "status": "succeeded", "model": "starter", "fine_tuned_model": text,
            "trained_tokens": 1000, "validation_file": "file-2", "seed": 1, "user_provided_suffix": text,
            "metadata": {text: text},
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, text: [text, text]}}},
            "estimate": {"steps": 2, "tokens": 900, "seconds": {"likely": 30.0, "low": 20.0, "high": 45.0},
                         "basis": text, "cost": {"likely": 1.0, "low": 1.0, "high": 2.0, "currency": "EUR"}},
            "measured": {"steps": 2, "tokens": 1000, "seconds": 40.0, "queue_seconds": 1.0, "setup_seconds": 5.0,
                         "other_seconds": 5.0, "phases": [{"seconds": 30.0}], "device": text,
                         "peak_memory_bytes": 1 << 30, "cost": {"amount": 1.5, "currency": "EUR"}},
        },
        "files": {
            "training_file": {
                "id": "file-1", "filename": text, "bytes": 2048, "validation": {"rows": 12, "shape": text},
            },
            "validation_file": None,
        },
        "events": [{"created_at": 0.0, "level": level, "message": text} for level in ("info", "warn", "error")],
        "evaluation": {"rows": 5, "base": {"loss": 2.0, "token_accuracy": 0.5},
                       "tuned": {"loss": 0.5, "token_accuracy": 0.875, text: 1.0}, "samples": [sample]},
        "proof": {"models": [{"model": text, "status": "ok", "checks": [
            {"name": text, "status": "ok", "message": text}]}]},
        "hashes": {text: {"sha256": "a" * 64, "bytes": 10}},
    }  # fmt: skip


STEPS = {step: {"train_loss": 1.0 / step, f"rewards/{EVIL}/mean": 0.5} for step in range(1, 30)}


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(html.write(contents.document(facts(text), STEPS)))
    return reader


class TestHtml:
    def test_what_others_wrote_adds_no_tag_and_no_attribute(self) -> None:
        evil, calm = read(EVIL), read(CALM)
        assert evil.tags == calm.tags
        assert {name for name, _ in evil.attributes} == {name for name, _ in calm.attributes}
        assert "<script src=" in evil.text  # shown as text

    def test_it_loads_nothing_and_links_nowhere(self) -> None:
        reader = read(EVIL)
        assert {"script", "a", "img", "link", "iframe", "form"}.isdisjoint(reader.tags)
        assert {"src", "href", "style", "onload"}.isdisjoint(name for name, _ in reader.attributes)
        assert "url(" not in html.STYLE and "@import" not in html.STYLE
        policy = next(value for name, value in reader.attributes if name == "content" and "default-src" in str(value))
        assert policy == html.POLICY and "unsafe" not in html.POLICY

    def test_text_that_turns_around_is_not_obeyed(self) -> None:
        written = html.write(contents.document(facts(EVIL), STEPS))
        assert "\u202e" not in written and "�" in written


def outside_fences(written: str) -> str:
    return re.sub(r"^(`{3,})text\n.*?\n\1$", "", written, flags=re.MULTILINE | re.DOTALL)


class TestMarkdown:
    def test_what_others_wrote_is_no_markup(self) -> None:
        written = markdown.write(contents.document(facts(EVIL), STEPS))
        bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", outside_fences(written))
        assert "`" not in bare and "<" not in bare and "[" not in bare and "](" not in bare and "://" not in bare

    def test_a_fence_is_longer_than_any_in_the_text(self) -> None:
        assert markdown.fenced("a ````` b").splitlines()[0] == "``````text"

    def test_tables_keep_their_columns_whatever_the_cells_hold(self) -> None:
        def bars(text: str) -> list[int]:
            written = markdown.write(contents.document(facts(text), STEPS))
            rows = [line for line in outside_fences(written).splitlines() if line.startswith("| ")]
            return [len(re.findall(r"(?<!\\)\|", line)) for line in rows]

        assert bars(EVIL) == bars(CALM)


@pytest.mark.parametrize("writer", [html.write, markdown.write], ids=["html", "markdown"])
class TestWhatItSays:
    def text(self, writer: Any, **job: Any) -> str:
        found = facts(CALM)
        found["job"] |= job
        return str(writer(contents.document(found, STEPS))).replace("\\", "")

    def test_data_settings_evaluation_cost_proof_and_hashes(self, writer: Any) -> None:
        text = self.text(writer)
        for said in ("n_epochs", "87.5%", "50.0%", "1.50 EUR", "40.0 s", "30.0 s", "a" * 64, "deleted", "1.0 GiB"):
            assert said in text, said

    def test_a_failed_job_has_a_report_too(self, writer: Any) -> None:
        failed = {"status": "failed", "measured": None, "estimate": None, "fine_tuned_model": None}
        text = self.text(writer, **failed, trained_tokens=None)
        assert "failed" in text and "what it took was not measured" in text


def test_a_job_without_anything_has_a_report() -> None:
    found = facts(CALM) | {"evaluation": None, "proof": None, "hashes": {}, "events": [], "files": {}}
    written = html.write(contents.document(found, {}))
    assert "The job reported no steps." in written and "nothing to prove" in written


def test_settings_and_texts_are_bounded() -> None:
    assert len(visible("x" * 10_000)) == 401
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(50):
        inner["a"] = {}
        inner = inner["a"]
    inner["b"] = "x" * 100_000
    assert sum(len(value) for _, value in contents.flattened(deep)) < 2000
    wide = {str(number): number for number in range(10_000)}
    assert len(contents.flattened(wide)) == contents.ROWS_AT_MOST
