"""Graders together: both shapes, weights, errors that stay errors, models as judges."""

import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from rouge_score.rouge_scorer import RougeScorer

from fettle.errors import InvalidRequest
from fettle.rewards import Graders, LoadError, Sample, SampleScores, check, has_user_code
from fettle.rewards.text_similarity import similarity

EQUAL = {"type": "string_check", "name": "equal", "input": "{{sample.output_text}}", "reference": "{{item.answer}}"}
HALF = "def reward(prompt, completion, example):\n    return 0.5"
SAMPLES = [Sample("q", text, {"answer": "Four"}) for text in ("Four", "four", "it is four")]


def scored(graders: list[dict[str, Any]], samples: Sequence[Sample] = SAMPLES, **opened: Any) -> list[SampleScores]:
    with Graders(graders, **opened) as held:
        return held.score(samples)


def rewards_of(grader: dict[str, Any], samples: Sequence[Sample] = SAMPLES, **opened: Any) -> list[float | None]:
    return [score.reward for score in scored(check(grader=grader), samples, **opened)]


@pytest.mark.parametrize(
    ("operation", "values"),
    [
        ("eq", [1, 0, 0]),
        ("ne", [0, 1, 1]),
        ("neq", [0, 1, 1]),
        ("like", [1, 0, 0]),
        ("ilike", [1, 1, 1]),
    ],
)
def test_string_checks_compare_as_openai_says(operation: str, values: list[float]) -> None:
    assert rewards_of({**EQUAL, "operation": operation}) == values


class TestTextSimilarity:
    @pytest.mark.parametrize(
        ("metric", "text", "reference", "value"),
        [
            ("fuzzy_match", "abcd", "abcf", 0.75),  # 2 · 3 ÷ 8
            ("rouge_1", "the cat sat", "the cat", 0.8),  # P 2/3, R 1
            ("rouge_2", "the cat sat", "the cat", 2 / 3),  # P 1/2, R 1
            ("rouge_l", "the big cat", "the cat", 0.8),  # subsequence of 2
            ("gleu", "the cat", "the cat sat", 0.5),  # 2 words and 1 pair of 3 + 2 + 1
            ("bleu", "one two three four five", "one two three four five", 1.0),
            ("bleu", "six", "one two three four five", 0.0),
        ],
    )
    def test_it_is_the_metrics_arithmetic(self, metric: str, text: str, reference: str, value: float) -> None:
        grader = {"type": "text_similarity", "name": "t", "input": text, "reference": reference}
        assert rewards_of({**grader, "evaluation_metric": metric}, SAMPLES[:1]) == [pytest.approx(value, abs=1e-6)]

    def test_rouge_l_of_long_texts_takes_no_time_and_is_rouge_scores(self) -> None:
        draw = random.Random(1)
        for _ in range(50):
            one, other = (" ".join(draw.choices("abcde", k=draw.randrange(1, 30))) for _ in range(2))
            theirs = RougeScorer(["rougeL"]).score(other, one)["rougeL"].fmeasure
            assert similarity("rouge_l", one, other) == pytest.approx(theirs)
        begun = time.process_time()
        assert similarity("rouge_l", "a " * 25_000, "b " * 25_000) == 0.0  # was a table of 625 million numbers
        assert time.process_time() - begun < 30

    def test_what_is_too_long_is_an_error(self) -> None:
        grader = {
            "type": "text_similarity",
            "name": "t",
            "input": "{{sample.output_text}}",
            "reference": "x",
            "evaluation_metric": "rouge_l",
        }
        (score,) = scored(check(grader=grader), [Sample("", "x" * 50_001)])
        assert score.reward is None and "the limit is 50,000" in score.errors["t"].message


class TestRewardFunctions:
    def test_the_reward_is_their_weighted_sum(self) -> None:
        wanted = [
            "exact_match",
            {"name": "exact_match", "label": "loosely", "weight": 0.5, "parameters": {"ignore_case": True}},
            {"name": "half", "source": HALF, "weight": -2},
            {**EQUAL, "operation": "eq", "weight": 10},
        ]
        scores = scored(check(reward_functions=wanted))
        assert [score.reward for score in scores] == [1 + 0.5 - 1 + 10, 0 + 0.5 - 1 + 0, 0 + 0 - 1 + 0]
        assert scores[0].scores == {"exact_match": 1.0, "loosely": 1.0, "half": 0.5, "equal": 1.0}

    def test_one_that_fails_leaves_no_reward_and_says_why(self) -> None:
        fails = {"name": "fails", "source": "def reward(prompt, completion, example):\n    return example['none']"}
        (score,) = scored(check(reward_functions=["exact_match", fails]), SAMPLES[:1])
        assert score.reward is None
        assert score.scores == {"exact_match": 1.0, "fails": None}
        assert "KeyError: 'none'" in score.errors["fails"].message

    def test_a_sum_that_is_no_finite_number_is_an_error(self) -> None:
        huge = {"name": "huge", "source": "def reward(p, c, e):\n    return 1e308", "weight": 100}
        (score,) = scored(check(reward_functions=[huge]), SAMPLES[:1])
        assert score.reward is None and "is inf" in score.errors["reward"].message

    def test_what_check_gives_can_be_stored_and_checked_in(self) -> None:
        (stored,) = check(reward_functions=[{"name": "length", "parameters": {"maximum": 3}}])
        assert stored["weight"] == 1.0
        assert stored["grader"]["parameters"] == {
            "minimum": None,
            "maximum": 3,
            "tolerance": 0,
            "unit": "words",
        }
        assert check(grader=stored["grader"])[0]["grader"] == stored["grader"]

    def test_only_user_code_and_the_models_code_need_a_sandbox(self) -> None:
        assert not has_user_code(check(reward_functions=["answer_correct", "think_format"]))
        assert has_user_code(check(reward_functions=[{"source": HALF}]))
        assert has_user_code(check(reward_functions=["code_tests"]))
        multi = {"type": "multi", "graders": {"p": {"type": "python", "source": HALF}}, "calculate_output": "p"}
        assert has_user_code(check(grader=multi))

    @pytest.mark.parametrize(
        ("wanted", "param", "words"),
        [
            ([], "reward_functions", "give 1 to 32"),
            ("exact_match", "reward_functions", "must be a list"),
            (["sorcery"], "reward_functions[0]", "no reward function 'sorcery'; there are: answer_correct"),
            ([5], "reward_functions[0]", "a name or an object"),
            (["regex"], "reward_functions[0]", "'regex': Missing required parameter: 'parameters.pattern'"),
            (["exact_match", "exact_match"], "reward_functions[1]", "give one a 'label'"),
            ([{"name": "exact_match", "weight": "1"}], "reward_functions[0].weight", "Use a number"),
            ([{"name": "exact_match", "weight": float("nan")}], "reward_functions[0].weight", "Use a number"),
            ([{"name": "exact_match", "colour": 1}], "reward_functions[0].colour", "Unknown parameter"),
        ],
    )
    def test_a_bad_list_is_refused_with_its_place(self, wanted: Any, param: str, words: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            check(reward_functions=wanted)
        assert caught.value.param == param and words in caught.value.message

    @pytest.mark.parametrize(
        "both", [{}, {"grader": {**EQUAL, "operation": "eq"}, "reward_functions": ["exact_match"]}]
    )
    def test_exactly_one_of_the_two_ways_is_asked_for(self, both: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequest, match="Give either 'grader'"):
            check(**both, within=("method", "reinforcement"))


class TestMulti:
    def test_a_failing_part_that_the_formula_needs_fails_it_and_is_named(self) -> None:
        parts = {"a": {**EQUAL, "operation": "eq", "reference": "{{item.none}}"}, "b": {**EQUAL, "operation": "eq"}}
        multi = {"type": "multi", "name": "m", "graders": parts, "calculate_output": "a + b"}
        (score,) = scored(check(grader=multi), SAMPLES[:1])
        assert score.reward is None and score.errors["m"].message == "a: item has no 'none'"
        assert rewards_of({**multi, "calculate_output": "b * 2"}, SAMPLES[:1]) == [2.0]

    def test_a_formula_without_a_value_is_an_error(self) -> None:
        multi = {"type": "multi", "graders": {"a": {**EQUAL, "operation": "eq"}}, "calculate_output": "1 / a"}
        scores = scored(check(grader=multi))
        assert [score.reward for score in scores] == [1.0, None, None]
        assert scores[1].errors["multi"].flag == "formula_parse_error"

    def test_multis_do_not_nest(self) -> None:
        inner = {"type": "multi", "graders": {"a": {**EQUAL, "operation": "eq"}}, "calculate_output": "a"}
        with pytest.raises(InvalidRequest):
            check(grader={"type": "multi", "graders": {"inner": inner}, "calculate_output": "inner"})


class TestOpening:
    def test_code_that_does_not_load_names_its_grader(self) -> None:
        with pytest.raises(LoadError, match="broken: The source could not be loaded"):
            Graders(check(reward_functions=[{"name": "broken", "source": "def"}]))

    def test_what_holds_user_code_is_known_and_nothing_where_there_is_none(self) -> None:
        with Graders(check(reward_functions=["exact_match"])) as graders:
            assert graders.sandbox is None
        with Graders(check(reward_functions=[{"source": HALF}])) as graders:
            assert graders.sandbox is not None and graders.sandbox.startswith("landlock")


def test_a_completion_that_is_not_json_counts_as_0_in_a_formula_too() -> None:
    read = {**EQUAL, "operation": "eq", "input": "{{sample.output_json.answer}}"}
    formula = {"type": "multi", "graders": {"read": read}, "calculate_output": "read + 0.25"}
    (score,) = scored(check(grader=formula), [Sample("q", "not JSON", {"answer": "Four"})])
    assert score.reward == 0.25
    assert [failure.flag for failure in score.errors.values()] == ["sample_parse_error"]
