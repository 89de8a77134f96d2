"""What is graded, and the scores that it gets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import orjson

Messages = Sequence[dict[str, Any]]
NOT_JSON = "sample_parse_error"  # of a completion: OpenAI's flag


@dataclass(frozen=True)
class Sample:
    """One completion. `item` is the dataset row's own keys: the reference answer, and whatever else a grader needs.

    turns: of a rollout with tools, every message after the prompt; `completion` is the last one's text.
    """

    prompt: str | Messages
    completion: str
    item: dict[str, Any] = field(default_factory=dict)
    tool_calls: Messages = ()
    turns: Messages = ()

    @property
    def all_calls(self) -> list[dict[str, Any]]:
        return [*self.tool_calls, *(call for turn in self.turns for call in turn.get("tool_calls") or ())]

    @cached_property
    def prompt_text(self) -> str:
        """The prompt as one text: the contents of its messages, apart by an empty line."""
        if isinstance(self.prompt, str):
            return self.prompt
        return "\n\n".join(str(message.get("content") or "") for message in self.prompt)

    @cached_property
    def namespace(self) -> dict[str, Any]:
        """OpenAI's `sample`: what templates and `grade(sample, item)` see."""
        message = {"role": "assistant", "content": self.completion, "tool_calls": self.all_calls}
        try:
            output_json = orjson.loads(self.completion)
            orjson.dumps(output_json)  # deeper than 254 levels it reads, but does not write
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            output_json = None
        return {
            "output_text": self.completion,
            "output_json": output_json,
            "output_tools": self.all_calls,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "turns": list(self.turns),
        }


@dataclass(frozen=True)
class Failure:
    """Why there is no score. `flag` is one of OpenAI's error flags of `graders/run`."""

    flag: str
    message: str


@dataclass(frozen=True)
class Score:
    """What one grader gives one sample: a finite value, or a failure; a completion that is not JSON has both.

    parts: of a `multi`, by name.
    """

    value: float | None
    failure: Failure | None = None
    printed: str = ""
    parts: dict[str, "Score"] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleScores:
    """What all graders give one sample.

    reward: their weighted sum; None when one of them failed, never a silent 0. scores: by grader's name, the parts of
    a `multi` as `name.part`. errors: by the same names.
    """

    reward: float | None
    scores: dict[str, float | None]
    printed: str
    errors: dict[str, Failure]


class Grader(Protocol):
    """Gives each sample a score, in order. `close` ends the processes that it has started."""

    def grade(self, samples: Sequence[Sample]) -> list[Score]: ...

    def close(self) -> None: ...


def no_score(flag: str, message: str) -> Score:
    """A completion that is not JSON where a template reads `output_json` is the model's fault: it scores 0, as at
    OpenAI, and is counted. Every other failure is the grader's, and gives no score.
    """
    return Score(0.0 if flag == NOT_JSON else None, Failure(flag, message))
