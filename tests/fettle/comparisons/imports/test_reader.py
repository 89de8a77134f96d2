"""Files with votes, of every format, become items with votes; what is wrong with them has a line."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from fettle.comparisons.imports import reader
from fettle.errors import InvalidRequest

ARGILLA = {
    "id": "r1",
    "fields": {"prompt": "hi", "response-1": "Hello", "response-2": "Go away", "response-3": "Hey"},
    "metadata": {},
    "suggestions": {},
    "responses": {
        "ranking": [
            {
                "value": [
                    {"value": "response-1", "rank": 1},
                    {"value": "response-3", "rank": 1},
                    {"value": "response-2", "rank": 3},
                ],
                "user_id": "u1",
            },
            {"value": ["response-2", "response-1", "response-3"], "user_id": "u2"},
        ],
        "comment": [{"value": "nice", "user_id": "u1"}],
    },
    "vectors": {},
    "_server_id": None,
}
FLAT = {
    "id": "r1",
    "prompt": "hi",
    "response-1": "Hello",
    "response-2": "Go away",
    "preference.responses": ["response-2", "response-1"],
    "preference.responses.users": ["u1", "u2"],
    "preference.responses.status": ["submitted", "discarded"],
}


def task(result: list[dict[str, Any]], **annotation: Any) -> dict[str, Any]:
    items = [{"id": "m1", "title": "Model 1", "body": "Hello"}, {"id": "m2", "title": "Model 2", "body": "Go away"}]
    data = {"prompt": "hi", "items": items, "answer1": "Yes", "answer2": "No"}
    done = {"id": 7, "result": result, "completed_by": 3, "lead_time": 4.5, "was_cancelled": False, **annotation}
    return {"id": 1, "data": data, "annotations": [done]}


def ranker(value: Any) -> dict[str, Any]:
    return {"from_name": "rank", "to_name": "items", "type": "ranker", "value": {"ranker": value}}


def pairwise(selected: str) -> dict[str, Any]:
    where = {"from_name": "comparison", "to_name": "answer1,answer2", "type": "pairwise"}
    return {**where, "value": {"selected": selected}}


class Found:
    def __init__(self, content: bytes) -> None:
        header, *items = content.splitlines()
        self.header = orjson.loads(header)
        self.items = [orjson.loads(line) for line in items]

    @property
    def votes(self) -> list[tuple[str, list[list[str]]]]:
        return [(who, vote["levels"]) for item in self.items for who, vote in item["votes"].items()]


def read(folder: Path, content: str | bytes, form: str = "auto", prompt_key: str | None = None) -> Found:
    path = folder / "votes"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Found(reader.read({"path": str(path), "format": form, "prompt_key": prompt_key}, b""))


def lines(*rows: Any) -> str:
    return "\n".join(map(json.dumps, rows))


class TestOwnRows:
    @pytest.mark.parametrize(
        "row",
        [
            {"prompt": "hi", "ranked": ["a", "b"]},
            {"prompt": "hi", "responses": ["b", "a"], "ranking": [1, 0]},
            {"prompt": [{"role": "user", "content": "hi"}], "chosen": "a", "rejected": "b"},
            {
                "input": {"messages": [{"role": "user", "content": "hi"}]},
                "preferred_output": [{"role": "assistant", "content": "a"}],
                "non_preferred_output": [{"role": "assistant", "content": "b"}],
            },
        ],
    )
    def test_each_shape_is_a_vote(self, tmp_path: Path, row: dict[str, Any]) -> None:
        found = read(tmp_path, lines(row))
        assert found.header["format"] == "fettle"
        assert found.items[0]["prompt"] == [{"role": "user", "content": "hi"}]
        assert found.votes == [("", [["a"], ["b"]])]

    def test_rows_with_the_same_responses_are_one_item_with_the_votes_of_several_people(self, tmp_path: Path) -> None:
        rows = [
            {"prompt": "hi", "ranked": ["a", "b"], "annotator": "Ann"},
            {"prompt": "hi", "ranked": ["b", "a"], "annotator": "Bob"},
            {"prompt": "hi", "ranked": ["b", "a"], "annotator": "Ann"},
            {"prompt": "ho", "ranked": ["b", "a"], "annotator": "Ann"},
        ]
        found = read(tmp_path, lines(*rows))
        assert len(found.items) == 2
        assert found.votes == [("Ann", [["a"], ["b"]]), ("Bob", [["b"], ["a"]]), ("Ann", [["b"], ["a"]])]
        (left_out,) = found.header["left_out"]
        assert left_out == {"line": 3, "message": "The annotator has voted on the same responses in line 1."}

    def test_ties_stay_ties(self, tmp_path: Path) -> None:
        assert read(tmp_path, lines({"prompt": "hi", "ranked": ["c", ["b", "a"]]})).votes == [("", [["c"], ["a", "b"]])]

    def test_a_csv_file_with_pairs_is_read(self, tmp_path: Path) -> None:
        assert read(tmp_path, "prompt,chosen,rejected\nhi,a,b\n").votes == [("", [["a"], ["b"]])]


class TestArgilla:
    def test_rankings_of_several_users_with_ties(self, tmp_path: Path) -> None:
        found = read(tmp_path, json.dumps([ARGILLA], indent=1))
        assert found.header["format"] == "argilla"
        assert found.votes == [
            ("u1", [["Hello", "Hey"], ["Go away"]]),
            ("u2", [["Go away"], ["Hello"], ["Hey"]]),
        ]

    def test_flattened_records_with_a_label_question_and_an_answer_that_was_discarded(self, tmp_path: Path) -> None:
        found = read(tmp_path, lines(FLAT))
        assert found.votes == [("u1", [["Go away"], ["Hello"]])]
        assert found.header["left_out"] == [{"line": 1, "message": "The answer is 'discarded', not 'submitted'."}]

    def test_a_record_without_a_prompt_says_how_to_name_it(self, tmp_path: Path) -> None:
        fields = {"text": "hi", "response-1": "Hello", "response-2": "Go away", "response-3": "Hey"}
        with pytest.raises(InvalidRequest, match=r"Line 1: .*'prompt_key'"):
            read(tmp_path, lines({**ARGILLA, "fields": fields}))
        assert len(read(tmp_path, lines({**ARGILLA, "fields": fields}), prompt_key="text").votes) == 2


class TestLabelStudio:
    def test_a_ranker_orders_items_by_id(self, tmp_path: Path) -> None:
        found = read(tmp_path, json.dumps([task([ranker(["m2", "m1"])])]))
        assert found.header["format"] == "label_studio"
        assert found.votes == [("3", [["Go away"], ["Hello"]])]
        assert found.items[0]["votes"]["3"]["seconds"] == 4.5

    @pytest.mark.parametrize(("selected", "levels"), [("left", [["Yes"], ["No"]]), ("right", [["No"], ["Yes"]])])
    def test_a_pairwise_result_is_a_pick(self, tmp_path: Path, selected: str, levels: list[list[str]]) -> None:
        who = {"completed_by": {"id": 3, "email": "ann@example.com"}}
        assert read(tmp_path, json.dumps([task([pairwise(selected)], **who)])).votes == [("ann@example.com", levels)]

    def test_a_single_bucket_is_a_ranking_and_several_are_left_out(self, tmp_path: Path) -> None:
        one, several = {"_": ["m2", "m1"], "bad": []}, {"good": ["m1"], "bad": ["m2"]}
        found = read(tmp_path, json.dumps([task([ranker(one)]), task([ranker(several)])], indent=None))
        assert found.votes == [("3", [["Go away"], ["Hello"]])]
        assert "buckets" in found.header["left_out"][0]["message"]

    def test_a_skipped_task_is_no_vote(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequest, match=r"has no vote\. Line 1: The annotator skipped the task"):
            read(tmp_path, json.dumps([task([], was_cancelled=True)]))


class TestErrors:
    def test_problems_are_named_with_their_lines(self, tmp_path: Path) -> None:
        rows = [
            {"prompt": "hi", "ranked": ["a", "b"]},
            {"prompt": "hi", "ranked": ["a"]},
            {"prompt": "hi", "chosen": 1},
        ]
        with pytest.raises(InvalidRequest) as refused:
            read(tmp_path, lines(*rows) + "\n{")
        assert [word for word in ("Line 2:", "Line 3:", "Line 4:") if word in refused.value.message] == [
            "Line 2:",
            "Line 3:",
            "Line 4:",
        ]

    def test_an_element_of_an_array_has_the_line_on_which_it_begins(self, tmp_path: Path) -> None:
        good, bad = (json.dumps(task([ranker(ids)])) for ids in (["m1", "m2"], ["m9"]))
        with pytest.raises(InvalidRequest, match=r"^Line 3: A Ranker names the id 'm9'"):
            read(tmp_path, f"[\n{good},\n{bad}]")

    def test_only_a_few_problems_are_shown_and_the_others_counted(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequest, match=r"There are 35 more\.$"):
            read(tmp_path, lines(*[{"prompt": "hi", "ranked": ["a"]}] * 40))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("[", "not JSON"),
            ("[{}", "comma is missing"),
            ("[{}] x", "more text after the array"),
            ('[{"a": NaN}]', "not JSON|not a number"),
            ("[1]", "not a JSON object"),
            ("[" * 100_000, "nested too deeply"),
            (b"[\xff]", "not UTF-8"),
            ("", "has no vote"),
            (lines({"colour": "red"}), "keys are: 'colour'"),
            (lines({"prompt": "hi", "ranked": ["a", "b\0"]}), "U.0000"),
            (json.dumps([{**ARGILLA, "fields": {**ARGILLA["fields"], "response-1": "\ud800"}}]), "surrogate"),  # type: ignore[dict-item]
            (lines({"prompt": "hi", "ranked": [str(n) for n in range(12)]}), "has 12 responses. Use 2 to 9"),
            (lines({"prompt": "hi", "ranked": ["a", ["b", "b"]]}), "the same"),
        ],
    )
    def test_what_cannot_be_read_is_refused_in_words(self, tmp_path: Path, content: str | bytes, words: str) -> None:
        with pytest.raises(InvalidRequest, match=words):
            read(tmp_path, content)
