"""Twenty-odd situations and the method that an expert would begin with."""

from dataclasses import dataclass

import pytest

from fettle.advice import ranking
from fettle.advice.rules import CHECK, REQUIREMENTS, RULES, STEPS, Choice
from fettle.advice.situation import Measured, Situation


@dataclass(frozen=True)
class Case:
    name: str
    situation: Situation
    first: Choice


NEVER, SOMETIMES, ALWAYS = Measured(0, 0, 8), Measured(0.4, 0.9, 8), Measured(1, 1, 8)
CASES = (
    Case("prompts that can be checked, no labels", Situation(prompts=400, verifiable=True), "reinforcement"),
    Case("ten prompts that can be checked", Situation(prompts=10, verifiable=True), "reinforcement"),
    Case("nine prompts that can be checked", Situation(prompts=9, verifiable=True), "collect_data"),
    Case("few labels that can be checked", Situation(labels=500, verifiable=True), "reinforcement"),
    Case("999 labels that can be checked", Situation(labels=999, verifiable=True), "reinforcement"),
    Case("1,000 labels that can be checked", Situation(labels=1000, verifiable=True), "supervised"),
    Case("thousands of labels", Situation(labels=5000), "supervised"),
    Case("accurate labels", Situation(labels=5000, verifiable=True, accurate=True), "supervised"),
    Case("wrong labels, a check", Situation(labels=5000, verifiable=True, accurate=False), "reinforcement"),
    Case("few labels, no check", Situation(labels=300), "supervised"),
    Case("pairs, to please", Situation("preference", pairs=400), "dpo"),
    Case("rankings, to please", Situation("preference", rankings=400), "rlhf"),
    Case("pairs and rankings, to please", Situation("preference", pairs=400, rankings=400), "dpo"),
    Case("labels and pairs, to please", Situation("preference", labels=300, pairs=300), "dpo"),
    Case("labels and pairs, for a task", Situation(labels=2000, pairs=2000), "supervised"),
    Case("good examples, to please", Situation("preference", labels=2000), "supervised"),
    Case("prompts alone, to please", Situation("preference", prompts=500), "collect_data"),
    Case("prompts alone, no check", Situation(prompts=500), "collect_data"),
    Case("nothing", Situation(), "collect_data"),
    Case(
        "reasoned labels and a check",
        Situation("reasoning", labels=200, reasoned=200, verifiable=True),
        "supervised_then_reinforcement",
    ),
    Case("reasoning without labels", Situation("reasoning", prompts=200, verifiable=True), "reinforcement"),
    Case("reasoned labels, no check", Situation("reasoning", labels=3000, reasoned=3000), "supervised"),
    Case(
        "never right, with labels",
        Situation(labels=200, verifiable=True, measured=NEVER),
        "supervised_then_reinforcement",
    ),
    Case("never right, no labels", Situation(prompts=200, verifiable=True, measured=NEVER), "collect_data"),
    Case("sometimes right", Situation(labels=500, verifiable=True, measured=SOMETIMES), "reinforcement"),
    Case("always right", Situation(labels=5000, verifiable=True, measured=ALWAYS), "nothing_to_learn"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_first_choice_is_the_experts(case: Case) -> None:
    (first, *_) = ranking.rank(case.situation)
    assert first.choice == case.first
    assert first.possible


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_step_up_leads_to_another_first_choice(case: Case) -> None:
    steps = ranking.steps_up(case.situation)
    assert case.first not in [step.then for step in steps]
    assert len({step.then for step in steps}) == len(steps)
    for what, richer in ranking.improvements(case.situation):
        for step in steps:
            if step.message == what:
                assert ranking.rank(richer)[0].choice == step.then


def test_there_are_twenty_situations_and_every_choice_is_somebodys_first() -> None:
    assert len(CASES) >= 20
    assert {case.first for case in CASES} == set(STEPS)


def test_the_first_choice_has_reasons_and_an_impossible_one_says_what_is_missing() -> None:
    found = ranking.to_json(Situation(prompts=400))
    by_name = {each["method"]: each for each in found["methods"]}
    assert by_name["reinforcement"]["missing"] == [f"Reinforcement needs {CHECK}."]
    assert not by_name["dpo"]["possible"] and "POST /v1/comparisons" in by_name["dpo"]["missing"][0]
    assert {
        "message": "Write a reward function or a grader that checks the answers.",
        "then": "reinforcement",
    } in found["collect"]
    assert [each["rank"] for each in found["methods"]] == [1, 2, 3, 4, 5, 6]


def test_dpo_for_a_task_says_that_it_teaches_none() -> None:
    by_name = {each.choice: each for each in ranking.rank(Situation(labels=2000, pairs=2000))}
    against = [message for points, message in by_name["dpo"].reasons if points < 0]
    assert against == ["DPO and RLHF change which response the model prefers. They teach no new task."]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.choice}: {rule.message[:60]}")
def test_every_rule_applies_to_some_situation_and_says_a_sentence(rule: object) -> None:
    assert rule in RULES
    assert any(rule.when(case.situation) for case in CASES)  # type: ignore[attr-defined]
    assert rule.message.endswith(".")  # type: ignore[attr-defined]


def test_every_requirement_is_missed_by_some_situation() -> None:
    idle = {each.message for each in REQUIREMENTS if all(each.fulfilled(case.situation) for case in CASES)}
    assert idle == set()
