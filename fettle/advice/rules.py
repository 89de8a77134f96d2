"""The field's facts as a table of rules: what speaks for a method, what against it, and what it cannot do without.

`REQUIREMENTS` says when a choice is possible at all. `RULES` then give points; the possible choice with the most points
comes first. The points are small whole numbers: 4 decides, 2 counts, 1 breaks a tie.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fettle.advice.situation import Situation

Choice = Literal[
    "reinforcement", "supervised", "supervised_then_reinforcement", "dpo", "rlhf", "collect_data", "nothing_to_learn"
]

# The jobs that each choice is made of, in their order
STEPS: dict[Choice, tuple[str, ...]] = {
    "reinforcement": ("reinforcement",),
    "supervised": ("supervised",),
    "supervised_then_reinforcement": ("supervised", "reinforcement"),
    "dpo": ("dpo",),
    "rlhf": ("rlhf",),
    "collect_data": (),
    "nothing_to_learn": (),
}

FEWEST = 10  # rows of a training file; for reinforcement they suffice, for anything else they are a beginning
FEW_LABELS = 1_000
WARM_UP = 30  # labels that show a format, and so suffice for a short SFT
SOLVED = 0.999  # a pass@1 from which no completion differs from the others
NEVER = 1e-9

When = Callable[[Situation], bool]


@dataclass(frozen=True)
class Requirement:
    """fulfilled: whether the choice is possible as far as this goes. message: what is missing, and how to get it."""

    choice: Choice
    fulfilled: When
    message: str


@dataclass(frozen=True)
class Rule:
    """points: below 0 they speak against the choice."""

    choice: Choice
    points: int
    when: When
    message: str


def solved(s: Situation) -> bool:
    return s.measured is not None and s.measured.pass_at_1 >= SOLVED


def never_right(s: Situation) -> bool:
    return s.measured is not None and s.measured.pass_at_k <= NEVER


def has_headroom(s: Situation) -> bool:
    return s.measured is not None and not solved(s) and not never_right(s)


def is_task(s: Situation) -> bool:
    return s.goal != "preference"


def compares(s: Situation) -> bool:
    return max(s.pairs, s.rankings) >= FEWEST


CHECK = "a program that can tell whether a response is right: a reward function, or a label to compare with"
REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("reinforcement", lambda s: s.verifiable, f"Reinforcement needs {CHECK}."),
    Requirement(
        "reinforcement",
        lambda s: s.promptable >= FEWEST,
        f"Reinforcement needs {FEWEST} prompts to begin with. They need no completions.",
    ),
    Requirement(
        "reinforcement",
        lambda s: not never_right(s),
        "The base model never earned the reward, so no completion is better than another. Train it on some examples "
        "first.",
    ),
    Requirement(
        "supervised", lambda s: s.labels >= FEWEST, f"Supervised fine-tuning needs {FEWEST} rows with a completion."
    ),
    Requirement(
        "supervised_then_reinforcement", lambda s: s.verifiable, f"The reinforcement in the second step needs {CHECK}."
    ),
    Requirement(
        "supervised_then_reinforcement",
        lambda s: s.labels >= WARM_UP,
        f"The supervised first step needs about {WARM_UP} rows with a completion.",
    ),
    Requirement(
        "dpo",
        compares,
        f"DPO needs at least {FEWEST} prompts with a better and a worse response. POST /v1/comparisons generates "
        "responses and collects people's picks.",
    ),
    Requirement(
        "rlhf",
        compares,
        f"RLHF needs at least {FEWEST} prompts with ranked responses. POST /v1/comparisons generates responses and "
        "collects people's rankings.",
    ),
    Requirement("nothing_to_learn", solved, "The base model was not measured, or does not get everything right."),
    *(
        Requirement(choice, lambda s: not solved(s), "The base model gets everything right already.")
        for choice in STEPS
        if choice != "nothing_to_learn"
    ),
)

RULES: tuple[Rule, ...] = (
    Rule(
        "reinforcement",
        4,
        lambda s: s.verifiable and is_task(s) and s.labels < FEWEST,
        "The answers can be checked by a program and there are no labels. Reinforcement needs only the check.",
    ),
    Rule(
        "reinforcement",
        4,
        lambda s: s.verifiable and is_task(s) and FEWEST <= s.labels < FEW_LABELS,
        f"There are fewer than about {FEW_LABELS:,} labels and the answers can be checked. Reinforcement learns more "
        "from few rows than supervised fine-tuning, which memorizes them.",
    ),
    Rule(
        "reinforcement",
        4,
        lambda s: s.verifiable and is_task(s) and s.labels >= FEW_LABELS and s.accurate is False,
        "The labels are not accurate, but a program can check answers. Reinforcement learns from the check and not "
        "from the labels.",
    ),
    Rule(
        "reinforcement",
        1,
        lambda s: s.goal == "reasoning" and s.verifiable,
        "Reinforcement rewards reasoning that leads to right answers, whatever words it takes.",
    ),
    Rule(
        "reinforcement",
        4,
        lambda s: has_headroom(s) and is_task(s),
        "The base model is right sometimes and wrong sometimes. That difference is what reinforcement learns from.",
    ),
    Rule(
        "reinforcement",
        1,
        lambda s: FEWEST <= s.promptable < 100 and s.verifiable,
        f"{FEWEST} prompts suffice to start reinforcement, because every prompt is answered many times.",
    ),
    Rule(
        "reinforcement",
        -4,
        lambda s: s.goal == "preference" and not s.measured,
        "What people prefer is hard to check by a program. Comparisons say it better.",
    ),
    Rule(
        "supervised",
        6,
        lambda s: is_task(s) and s.labels >= FEW_LABELS and s.accurate is not False,
        "There are thousands of labels. Supervised fine-tuning on accurate labels is the cheapest and most stable way "
        "to teach a task.",
    ),
    Rule(
        "supervised",
        2,
        lambda s: FEWEST <= s.labels < FEW_LABELS,
        "The labels can be trained on directly.",
    ),
    Rule(
        "supervised",
        -1,
        lambda s: FEWEST <= s.labels < FEW_LABELS,
        "With few labels from a narrow domain, supervised fine-tuning overfits. Give it a validation file.",
    ),
    Rule(
        "supervised",
        2,
        lambda s: s.goal == "preference" and s.labels >= FEWEST and not compares(s),
        "Without comparisons, examples in the wanted style are the only thing to learn from.",
    ),
    Rule(
        "supervised",
        -4,
        lambda s: s.accurate is False,
        "Supervised fine-tuning copies what is wrong in the labels.",
    ),
    Rule(
        "supervised_then_reinforcement",
        8,
        lambda s: s.goal == "reasoning" and s.reasoned >= WARM_UP and not has_headroom(s),
        "Some labels show their reasoning. A short supervised step teaches the format, and reinforcement then makes "
        "the reasoning right.",
    ),
    Rule(
        "supervised_then_reinforcement",
        8,
        never_right,
        "The base model never earned the reward. A supervised first step must make it right sometimes.",
    ),
    Rule(
        "supervised_then_reinforcement",
        1,
        lambda s: s.verifiable and is_task(s) and s.labels >= WARM_UP,
        "A short supervised step before reinforcement makes it start from better completions, at the cost of a second "
        "job.",
    ),
    Rule(
        "dpo",
        4,
        lambda s: s.goal == "preference" and s.pairs >= FEWEST,
        "There are preference pairs, and DPO trains on them directly, without a reward model.",
    ),
    Rule(
        "dpo",
        2,
        lambda s: s.goal == "preference" and s.rankings >= FEWEST,
        "Rankings hold pairs that DPO can train on, but it does not use how far apart two responses are.",
    ),
    Rule(
        "rlhf",
        4,
        lambda s: s.goal == "preference" and s.rankings >= FEWEST,
        "There are rankings. A reward model learns from all of their order, and can then grade new responses.",
    ),
    Rule(
        "rlhf",
        2,
        lambda s: s.goal == "preference" and s.pairs >= FEWEST,
        "A reward model can learn from pairs as well.",
    ),
    Rule(
        "rlhf",
        -1,
        lambda s: compares(s),
        "RLHF takes the most memory of all methods and is the least stable.",
    ),
    *(
        Rule(
            method,
            -6,
            is_task,
            "DPO and RLHF change which response the model prefers. They teach no new task.",
        )
        for method in ("dpo", "rlhf")
    ),
    Rule("collect_data", 0, lambda s: True, "None of the methods fits what there is yet."),
    Rule(
        "nothing_to_learn",
        9,
        solved,
        "The base model earned the full reward in every sample. Use it as it is, or choose harder prompts.",
    ),
)
