from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from fettle.errors import InvalidRequest
from fettle.rewards import JudgeUnavailable, Sample, SampleScores, check, models_of
from fettle.rewards.judges import Question
from fettle.rewards.samples import Messages
from tests.fettle.rewards.test_graders import SAMPLES, rewards_of, scored


class Judging:
    """Answers what it was told, and remembers what it was asked."""

    def __init__(self, answer: str | None) -> None:
        self.answer, self.asked = answer, list[Any]()

    def ask(self, questions: Sequence[Question]) -> list[str | JudgeUnavailable]:
        self.asked += questions
        return [JudgeUnavailable("the engine is away") if self.answer is None else self.answer for _ in questions]

    def score(self, model: str, conversations: Sequence[Messages]) -> list[float | JudgeUnavailable]:
        self.asked += [(model, list(conversation)) for conversation in conversations]
        away = JudgeUnavailable("it holds 10 tokens")
        return [away if index == 1 else float(index) for index in range(len(conversations))]


class TestModelsAsGraders:
    SCORING: Mapping[str, Any] = {
        "type": "score_model",
        "name": "judge",
        "model": "starter",
        "input": [{"role": "user", "content": "How good is {{sample.output_text}} for {{item.answer}}?"}],
        "range": [0, 10],
    }

    @pytest.mark.parametrize(
        ("answer", "value", "flag"),
        [
            ('{"steps": [], "result": 7}', 7.0, None),
            ('{"steps": [], "result": 70}', 10.0, None),
            ("seven", None, "model_grader_parse_error"),
            ('{"steps": []}', None, "model_grader_parse_error"),
            ('{"result": "x"}', None, "model_grader_parse_error"),
            (None, None, "model_grader_server_error"),
        ],
    )
    def test_the_number_is_cut_to_the_range(self, answer: str | None, value: float | None, flag: str | None) -> None:
        judge = Judging(answer)
        (score,) = scored(check(grader=dict(self.SCORING)), SAMPLES[:1], judge=judge)
        assert score.reward == value
        assert [failure.flag for failure in score.errors.values()] == ([flag] if flag else [])
        (question,) = judge.asked
        assert question.model == "starter"
        assert question.messages[-1] == {"role": "user", "content": "How good is Four for Four?"}
        assert question.schema["required"] == ["steps", "result"]

    def test_all_samples_are_asked_about_at_once_and_one_that_cannot_be_costs_no_other(self) -> None:
        judge = Judging('{"steps": [], "result": 7}')
        grader = {**self.SCORING, "sampling_params": {"temperature": 0.5, "seed": 3}}
        without = [SAMPLES[0], Sample("q", "Four", {}), SAMPLES[2]]
        scores = scored(check(grader=grader), without, judge=judge)
        assert [score.reward for score in scores] == [7.0, None, 7.0]
        assert scores[1].errors["judge"].flag == "invalid_variable_error"
        said = [question.messages[-1]["content"] for question in judge.asked]
        assert said == ["How good is Four for Four?", "How good is it is four for Four?"]
        assert judge.asked[0].sampling == {"temperature": 0.5, "seed": 3}

    @pytest.mark.parametrize(
        ("tokens", "longest"),
        [(None, (1024 - 128) // 4), (4096, (4096 - 128) // 4), (192, 16), (191, None), (16, None)],
    )
    def test_the_reasoning_is_as_long_as_surely_fits_into_the_answer(
        self, tokens: int | None, longest: int | None
    ) -> None:
        judge = Judging('{"steps": [], "result": 7}')
        sampling = {} if tokens is None else {"sampling_params": {"max_completions_tokens": tokens}}
        scored(check(grader={**self.SCORING, **sampling}), SAMPLES[:1], judge=judge)
        (question,) = judge.asked
        assert ("'steps'" in question.messages[0]["content"]) == (longest is not None)
        steps = question.schema["properties"].get("steps")
        assert (steps and (steps["maxItems"], steps["items"]["maxLength"])) == (longest and (4, longest))

    @pytest.mark.parametrize(
        ("bounds", "step"), [([0, 1], 0.001), ([0, 10], 0.01), ([-1, 1], 0.001), ([0, 5000], 1), ([0, 1e-4], None)]
    )
    def test_a_grade_has_so_many_decimals_that_a_thousand_fit_into_its_range(
        self, bounds: list[float], step: float | None
    ) -> None:
        judge = Judging('{"steps": [], "result": 0}')
        scored(check(grader={**self.SCORING, "range": bounds}), SAMPLES[:1], judge=judge)
        result = judge.asked[0].schema["properties"]["result"]
        assert (result["minimum"], result["maximum"], result.get("multipleOf")) == (*bounds, step)

    def test_a_label_passes_or_not(self) -> None:
        grader = {**self.SCORING, "type": "label_model", "labels": ["good", "bad"], "passing_labels": ["good"]}
        del grader["range"]
        for label, value in (("good", 1.0), ("bad", 0.0)):
            judge = Judging(f'{{"steps": [], "result": "{label}"}}')
            assert rewards_of(grader, SAMPLES[:1], judge=judge) == [value]

    def test_without_an_engine_it_is_an_error(self) -> None:
        (score,) = scored(check(grader=dict(self.SCORING)), SAMPLES[:1])
        assert score.errors["judge"].flag == "model_grader_server_error"


class TestJudge:
    """The reward function."""

    def asked(
        self, sample: Sample, answer: str = '{"steps": [], "result": 4}', **parameters: Any
    ) -> tuple[Any, SampleScores]:
        judge = Judging(answer)
        wanted = [{"name": "judge", "parameters": {"model": "starter", **parameters}}]
        (score,) = scored(check(reward_functions=wanted), [sample], judge=judge)
        return (judge.asked or [None])[0], score

    def test_it_is_told_criteria_prompt_reference_and_response_and_its_grade_is_scaled(self) -> None:
        question, score = self.asked(Sample([{"role": "user", "content": "2 + 2 ="}], "It is 4.", {"answer": 4}))
        assert score.reward == 0.4  # 4 of 0 to 10
        text = question.messages[-1]["content"]
        assert text.startswith("<criteria>\nIs the response correct and complete")
        assert "<prompt>\n2 + 2 =\n</prompt>" in text
        assert "<reference>\n4\n</reference>" in text
        assert "<response>\nIt is 4.\n</response>" in text
        assert question.schema["properties"]["result"] == {"type": "integer", "minimum": 0, "maximum": 10}
        assert question.sampling["temperature"] == 0

    def test_criteria_are_a_template_and_the_range_is_the_judges(self) -> None:
        sample = Sample("q", "r", {"tone": "polite"})
        question, score = self.asked(sample, criteria="Is it {{item.tone}}?", range=[1, 5])
        assert score.reward == 0.75  # (4 - 1) / (5 - 1)
        assert "<criteria>\nIs it polite?\n</criteria>" in question.messages[-1]["content"]
        assert "<reference>" not in question.messages[-1]["content"]
        assert "'result' (a whole number from 1 to 5)" in question.messages[0]["content"]

    def test_a_reference_that_is_named_must_be_there(self) -> None:
        question, score = self.asked(Sample("q", "r", {"answer": "4"}), reference="gold")
        assert question is None
        assert score.errors["judge"].flag == "invalid_variable_error"

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({}, "'judge': Missing required parameter: 'parameters.model'"),
            ({"model": "m", "range": [5, 5]}, "must be [lowest, highest]"),
            ({"model": "m", "criteria": "{{answer}}"}, "is not a variable"),
        ],
    )
    def test_what_cannot_judge_is_refused(self, parameters: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            check(reward_functions=[{"name": "judge", "parameters": parameters}])
        assert words in refused.value.message


class TestRewardModel:
    """The reward function."""

    WANTED: Sequence[Any] = [{"name": "reward_model", "parameters": {"model": "ft:rm"}}]

    def test_each_conversation_is_scored_and_a_failure_marks_its_own(self) -> None:
        judge = Judging(None)
        system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}]
        samples = [Sample("q", "a"), Sample(system, "b"), Sample("", "c"), Sample("q", "d")]
        scores = scored(check(reward_functions=self.WANTED), samples, judge=judge)
        assert [score.reward for score in scores] == [0.0, None, None, 2.0]
        assert scores[1].errors["reward_model"].message == "it holds 10 tokens"
        assert "neither 'messages' nor 'prompt'" in scores[2].errors["reward_model"].message
        assert judge.asked[1] == ("ft:rm", [*system, {"role": "assistant", "content": "b"}])

    def test_without_an_engine_it_is_an_error(self) -> None:
        (score,) = scored(check(reward_functions=self.WANTED), [Sample("q", "a")])
        assert score.errors["reward_model"].flag == "model_grader_server_error"


def test_the_models_that_graders_ask_are_known_with_their_kind() -> None:
    judged = {"type": "function", "name": "f", "function": "judge", "parameters": {"model": "c"}}
    multi = {"type": "multi", "graders": {"a": dict(TestModelsAsGraders.SCORING), "f": judged}, "calculate_output": "a"}
    entries = [multi, {"name": "reward_model", "parameters": {"model": "ft:rm"}}, "exact_match"]
    found = models_of(check(reward_functions=entries))
    assert found == {("starter", "chat"), ("c", "chat"), ("ft:rm", "reward_model")}
