"""OpenAI's string_check: 1.0 when the comparison holds, else 0.0."""

from collections.abc import Callable, Sequence

from fettle.rewards.samples import Sample, Score, no_score
from fettle.rewards.templates import Unfilled, fill

OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda text, reference: text == reference,
    "ne": lambda text, reference: text != reference,
    "neq": lambda text, reference: text != reference,  # the guide's spelling
    "like": lambda text, reference: reference in text,
    "ilike": lambda text, reference: reference.casefold() in text.casefold(),
}


class StringCheck:
    def __init__(self, operation: str, text: str, reference: str) -> None:
        self.holds, self.text, self.reference = OPERATIONS[operation], text, reference

    def grade(self, samples: Sequence[Sample]) -> list[Score]:
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        try:
            return Score(float(self.holds(fill(self.text, sample), fill(self.reference, sample))))
        except Unfilled as error:
            return no_score(error.flag, str(error))

    def close(self) -> None: ...
