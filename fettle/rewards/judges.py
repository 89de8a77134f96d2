"""A model as grader: OpenAI's score_model and label_model. Whoever answers for the model stands behind `Judge`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import orjson

from fettle.rewards.samples import Messages, Sample, Score, no_score
from fettle.rewards.templates import Unfilled, fill

Kind = Literal["chat", "reward_model"]
TOKENS = 1024  # of an answer, unless the grader says otherwise
RESULT_TOKENS = 128  # of them for the result and what JSON is around it
FINEST = -6  # decimals of a grade, as an exponent; a narrower range is left to the model
RANGE_AT_MOST, RANGE_AT_LEAST = 1e9, 1e-6  # how far from 0 a range may reach, and how wide it must be
STEPS, SHORTEST_STEP = 4, 16  # of a judge's reasoning, and the characters below which none is asked for


class JudgeUnavailable(Exception):
    """The model has not answered; the message says why, `flag` is OpenAI's name of the error."""

    def __init__(self, message: str, flag: str = "model_grader_server_error") -> None:
        super().__init__(message)
        self.flag = flag


@dataclass(frozen=True)
class Question:
    """schema: of the JSON object that the answer must be. sampling: OpenAI's `sampling_params`."""

    model: str
    messages: Messages
    schema: dict[str, Any]
    sampling: Mapping[str, Any]


class Judge(Protocol):
    """Asks models, many things at a time: the words to each in order, JudgeUnavailable where there are none.

    question_count, answer_count: requests of the batch that is being judged, for another thread to read.
    """

    question_count: int
    answer_count: int

    def ask(self, questions: Sequence[Question]) -> Sequence[str | JudgeUnavailable]: ...

    def score(self, model: str, conversations: Sequence[Messages]) -> Sequence[float | JudgeUnavailable]:
        """A reward model's number for each conversation."""


class NoJudge:
    """Where no engine can be reached."""

    question_count = answer_count = 0

    def ask(self, questions: Sequence[Question]) -> Sequence[str | JudgeUnavailable]:
        return [unavailable(question.model) for question in questions]

    def score(self, model: str, conversations: Sequence[Messages]) -> Sequence[float | JudgeUnavailable]:
        return [unavailable(model) for _ in conversations]


def unavailable(model: str) -> JudgeUnavailable:
    return JudgeUnavailable(f"No engine is available for the model {model!r}.")


class ModelGrader:
    """Asks for a JSON object with `steps` and `result`.

    The schema lets the steps be as long as surely fits into the answer's tokens, so that a judge which rambles on still
    comes to a result. Where nothing fits, the result is asked for at once.
    """

    task: str
    wanted: str  # of the result, in words
    result_schema: dict[str, Any]

    def __init__(self, spec: Mapping[str, Any], judge: Judge) -> None:
        self.spec, self.judge = spec, judge
        self.sampling = spec.get("sampling_params") or {}
        tokens: int = self.sampling.get("max_completions_tokens", TOKENS)
        self.step_length = (tokens - RESULT_TOKENS) // STEPS  # characters: each may be a token

    def grade(self, samples: Sequence[Sample]) -> list[Score]:
        asked = [self._question(sample) for sample in samples]
        answers = iter(self.judge.ask([each for each in asked if isinstance(each, Question)]))
        return [each if isinstance(each, Score) else self._score(next(answers)) for each in asked]

    def messages(self, sample: Sample) -> list[dict[str, Any]]:
        """Raises Unfilled."""
        return [
            {"role": message["role"], "content": filled(message["content"], sample)} for message in self.spec["input"]
        ]

    def _question(self, sample: Sample) -> Question | Score:
        try:
            messages = self.messages(sample)
        except Unfilled as error:
            return no_score(error.flag, str(error))
        system = {"role": "system", "content": self._instruction()}
        return Question(self.spec["model"], [system, *messages], self._schema(), self.sampling)

    @property
    def reasons(self) -> bool:
        return self.step_length >= SHORTEST_STEP

    def _instruction(self) -> str:
        steps = "'steps' (your reasoning, as a list of texts) and " if self.reasons else ""
        return f"{self.task} Answer with a JSON object: {steps}'result' ({self.wanted})."

    def _schema(self) -> dict[str, Any]:
        properties: dict[str, Any] = {"result": self.result_schema}
        if self.reasons:
            step = {"type": "string", "maxLength": self.step_length}
            properties = {"steps": {"type": "array", "items": step, "maxItems": STEPS}, **properties}
        return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}

    def _score(self, answer: str | JudgeUnavailable) -> Score:
        if isinstance(answer, JudgeUnavailable):
            return no_score(answer.flag, str(answer))
        try:
            return self.score_of(orjson.loads(answer)["result"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError):
            return no_score("model_grader_parse_error", f"The model's response contains no result: {answer[:200]!r}")

    def score_of(self, result: Any) -> Score:
        """Raises ValueError."""
        raise NotImplementedError

    def close(self) -> None: ...


class ScoreModel(ModelGrader):
    """The number that the model gives, cut to the grader's range."""

    task = "Grade what you are shown."

    def __init__(self, spec: Mapping[str, Any], judge: Judge) -> None:
        super().__init__(spec, judge)
        lowest, highest = spec["range"]
        self.wanted = f"a number from {lowest:g} to {highest:g}"
        self.result_schema = {"type": "number", "minimum": lowest, "maximum": highest, **in_steps(highest - lowest)}

    def score_of(self, result: Any) -> Score:
        value = float(result)
        if not math.isfinite(value):
            raise ValueError
        lowest, highest = self.spec["range"]
        return Score(min(highest, max(lowest, value)))


class LabelModel(ModelGrader):
    """1.0 when the model's label is one of the passing ones, else 0.0."""

    task = "Label what you are shown."

    def __init__(self, spec: Mapping[str, Any], judge: Judge) -> None:
        super().__init__(spec, judge)
        self.wanted = f"one of: {', '.join(spec['labels'])}"
        self.result_schema = {"type": "string", "enum": spec["labels"]}

    def score_of(self, result: Any) -> Score:
        if result not in self.spec["labels"]:
            raise ValueError
        return Score(float(result in self.spec["passing_labels"]))


def in_steps(width: float) -> dict[str, float]:
    """As JSON Schema: at least a thousand grades in a range; without an end to its decimals a number may have none."""
    if not RANGE_AT_LEAST <= width <= 2 * RANGE_AT_MOST:  # of a job that was made before ranges were checked
        return {}
    exponent = min(0, math.floor(math.log10(width / 1000)))
    return {"multipleOf": round(10.0**exponent, -exponent)} if exponent >= FINEST else {}


def check_range(ends: Sequence[float]) -> None:
    """Raises ValueError for a range that no model can grade in."""
    lowest, highest = ends
    if not -RANGE_AT_MOST <= lowest <= RANGE_AT_MOST or not -RANGE_AT_MOST <= highest <= RANGE_AT_MOST:
        raise ValueError(f"'range' {list(ends)} must lie between {-RANGE_AT_MOST:,.0f} and {RANGE_AT_MOST:,.0f}")
    if not lowest < highest:
        raise ValueError(f"'range' {list(ends)} must be [lowest, highest], with the highest above the lowest")
    if highest - lowest < RANGE_AT_LEAST:
        raise ValueError(f"'range' {list(ends)} must be at least {RANGE_AT_LEAST:g} wide")


def filled(content: Any, sample: Sample) -> str:
    """A message's content as one text."""
    parts = content if isinstance(content, list) else [content]
    return "\n".join(fill(part if isinstance(part, str) else part["text"], sample) for part in parts)
