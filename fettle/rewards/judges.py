"""A model as grader: OpenAI's score_model and label_model. Whoever answers for the model stands behind `Judge`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson

from fettle.rewards.samples import Mark, Sample, failed
from fettle.rewards.templates import Unfilled, fill


class JudgeAway(Exception):
    """The model cannot be asked; the message says why."""


class Judge(Protocol):
    """Asks models. `schema`: of the JSON object that the answer must be. Raises JudgeAway."""

    def ask(
        self, model: str, messages: Sequence[dict[str, Any]], schema: dict[str, Any], sampling: Mapping[str, Any]
    ) -> str: ...


class NoJudge:
    """Where no engine can be reached."""

    def ask(
        self, model: str, messages: Sequence[dict[str, Any]], schema: dict[str, Any], sampling: Mapping[str, Any]
    ) -> str:
        raise JudgeAway(f"no engine answers for the model {model!r} here")


class ModelGrader:
    """Asks for a JSON object with `steps` and `result`, one sample after another."""

    result_schema: dict[str, Any]
    instruction: str

    def __init__(self, spec: Mapping[str, Any], judge: Judge) -> None:
        self.spec, self.judge = spec, judge

    def grade(self, samples: Sequence[Sample]) -> list[Mark]:
        return [self._mark(sample) for sample in samples]

    def _mark(self, sample: Sample) -> Mark:
        try:
            messages = [
                {"role": message["role"], "content": filled(message["content"], sample)}
                for message in self.spec["input"]
            ]
        except Unfilled as error:
            return failed(error.flag, str(error))
        properties = {"steps": {"type": "array", "items": {"type": "string"}}, "result": self.result_schema}
        schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
        system = {"role": "system", "content": self.instruction}
        try:
            text = self.judge.ask(
                self.spec["model"], [system, *messages], schema, self.spec.get("sampling_params") or {}
            )
        except JudgeAway as error:
            return failed("model_grader_server_error", str(error))
        try:
            return self.mark_of(orjson.loads(text)["result"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return failed("model_grader_parse_error", f"The model's answer holds no result: {text[:200]!r}")

    def mark_of(self, result: Any) -> Mark:
        """Raises ValueError."""
        raise NotImplementedError

    def close(self) -> None: ...


class ScoreModel(ModelGrader):
    """The number that the model gives, cut to the grader's range."""

    def __init__(self, spec: Mapping[str, Any], judge: Judge) -> None:
        super().__init__(spec, judge)
        self.result_schema = {"type": "number"}
        lowest, highest = spec["range"]
        self.instruction = (
            f"Grade what you are shown. Answer with a JSON object: 'steps' (your reasoning, as a list of texts) and "
            f"'result' (a number from {lowest:g} to {highest:g})."
        )

    def mark_of(self, result: Any) -> Mark:
        value = float(result)
        if not math.isfinite(value):
            raise ValueError
        lowest, highest = self.spec["range"]
        return Mark(min(highest, max(lowest, value)))


class LabelModel(ModelGrader):
    """1.0 when the model's label is one of the passing ones, else 0.0."""

    def __init__(self, spec: Mapping[str, Any], judge: Judge) -> None:
        super().__init__(spec, judge)
        self.result_schema = {"type": "string", "enum": spec["labels"]}
        self.instruction = (
            "Label what you are shown. Answer with a JSON object: 'steps' (your reasoning, as a list of texts) and "
            f"'result' (one of: {', '.join(spec['labels'])})."
        )

    def mark_of(self, result: Any) -> Mark:
        if result not in self.spec["labels"]:
            raise ValueError
        return Mark(float(result in self.spec["passing_labels"]))


def filled(content: Any, sample: Sample) -> str:
    """A message's content as one text."""
    parts = content if isinstance(content, list) else [content]
    return "\n".join(fill(part if isinstance(part, str) else part["text"], sample) for part in parts)
