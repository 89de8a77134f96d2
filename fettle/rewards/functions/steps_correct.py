"""Does the arithmetic in the reasoning hold?"""

import math
import re
from itertools import pairwise

from fettle.rewards.formula import BadFormula, Formula, NoResult
from fettle.rewards.functions.function import EachSample, Example, Parameters, Resources, RewardFunction
from fettle.rewards.functions.tags import reasoning_of
from fettle.rewards.samples import Sample

OTHERS = re.compile(r"[^ \t\d.,+\-−–*/×÷·^()$%=]+")  # what stands between one piece of arithmetic and the next
SIGNS = str.maketrans({"×": "*", "÷": "/", "·": "*", "−": "-", "–": "-", "$": None, ",": None})
CLOSE = 1e-6
SPAN_AT_MOST = 20_000  # characters of a completion that are read


class StepsCorrect(Parameters):
    """partial: the share of the steps that hold; else all must. minimum: fewer steps than these give 0."""

    partial: bool = False
    minimum: int = 1


def open_steps_correct(parameters: StepsCorrect, _: Resources) -> EachSample:
    def value(sample: Sample) -> float:
        holds = steps(reasoning_of(sample.completion)[:SPAN_AT_MOST])
        if len(holds) < max(1, parameters.minimum):
            return 0.0
        return sum(holds) / len(holds) if parameters.partial else float(all(holds))

    return EachSample(value)


def steps(text: str) -> list[bool]:
    """For every `=` between two pieces of arithmetic: does it hold? What says nothing (`4 = 4`) is no step."""
    found = []
    for line in text.splitlines():
        for chain in OTHERS.split(line):
            for left, right in pairwise(side.strip() for side in chain.split("=")):
                one, other = worth(left), worth(right)
                if one is not None and other is not None and left != right:
                    found.append(math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE))
    return found


def worth(side: str) -> float | None:
    """The value of a piece of arithmetic, None when it is none."""
    text = side.translate(SIGNS).strip().rstrip(".%").strip()
    try:
        return Formula(text, set())({})
    except (BadFormula, NoResult):
        return None


STEPS_CORRECT = RewardFunction(
    description="1 when every `a op b = c` in the reasoning holds, else 0; 0 as well when there is none.",
    parameters=StepsCorrect,
    examples=(
        Example("<think>3 * 4 = 12 and 12 + 1 = 13</think><answer>13</answer>", 1.0, {}, {}),
        Example("<think>3 * 4 = 12 and 12 + 1 = 14</think><answer>14</answer>", 0.0, {}, {}),
        Example("<think>3 × 4 = 12 + 1 = 13</think>", 0.5, {}, {"partial": True}),
        Example("<think>clearly</think><answer>13</answer>", 0.0, {}, {}),
    ),
    open=open_steps_correct,
)
