"""The watch over rewards, against series that are written here: those that must be told, and noise that must not."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from worker.rewards.hacking_watch import SPAN, WINDOW, HackingWatch

Step = dict[str, Any]


def step(version: int = 1, **changed: Any) -> Step:
    """A quiet step: 128 completions of about 20 tokens, half of them right, none cut off, no two prompts alike."""
    half = {"mean": 0.5, "std": 0.5}
    quiet = {
        "reward": half,
        "form": None,
        "answer": half,
        "length_mean": 20.0,
        "cut_off": 0.0,
        "commonest": 0.05,
        "reward_version": version,
    }
    return quiet | changed


def ramp(number: int, first: float, last: float, begins: int = 10, ends: int = 30) -> float:
    """From `first` to `last` in the steps between."""
    share = min(1.0, max(0.0, (number - begins) / (ends - begins)))
    return first + share * (last - first)


def around(mean: float) -> dict[str, float]:
    return {"mean": mean, "std": 0.5}


def told(steps: list[Step], watch: HackingWatch | None = None) -> list[tuple[int, str]]:
    """(number of the step, what was told)."""
    watch = watch or HackingWatch()
    return [(number, warn.code) for number, seen in enumerate(steps, 1) for warn in watch.see(seen)]


def series(count: int, values: Callable[[int], dict[str, Any]]) -> list[Step]:
    return [step(**values(number)) for number in range(count)]


EXPLODING = series(60, lambda n: {"reward": around(ramp(n, 0.3, 0.8)), "length_mean": ramp(n, 80, 500)})
RUNNING_ON = series(
    60, lambda n: {"reward": around(ramp(n, 0.3, 0.8)), "length_mean": ramp(n, 15, 38), "cut_off": ramp(n, 0.05, 0.7)}
)
COLLAPSING = series(60, lambda n: {"commonest": ramp(n, 0.1, 0.95)})
FORM_FIRST = series(60, lambda n: {"form": around(ramp(n, 0.1, 0.9)), "answer": around(ramp(n, 0.5, 0.2))})


class TestSigns:
    @pytest.mark.parametrize(
        ("steps", "sign"),
        [
            (EXPLODING, "length_explodes"),
            (RUNNING_ON, "length_explodes"),
            (COLLAPSING, "one_text"),
            (FORM_FIRST, "form_over_answer"),
        ],
    )
    def test_each_is_told_once_while_it_happens(self, steps: list[Step], sign: str) -> None:
        ((number, code),) = told(steps)
        assert code == sign
        assert 10 < number <= 30 + WINDOW

    def test_the_sentence_has_the_figures_and_a_way_out(self) -> None:
        watch = HackingWatch()
        (warn,) = [warn for seen in FORM_FIRST for warn in watch.see(seen)]
        assert "rises (0.1 → " in warn.message and "falls (0.5 → " in warn.message
        assert "Lower its weight" in warn.message


class TestQuiet:
    @pytest.mark.parametrize(
        ("what", "values"),
        [
            ("reward climbs and length stays", lambda n: {"reward": around(ramp(n, 0.2, 0.9))}),
            ("length grows and reward does not", lambda n: {"length_mean": ramp(n, 80, 500)}),
            (
                "reasoning emerges: one line becomes three",
                lambda n: {"reward": around(ramp(n, 0.3, 0.9)), "length_mean": ramp(n, 9, 32), "cut_off": 0.1},
            ),
            (
                "reasoning grows, over a thousand steps",
                lambda n: {"reward": around(ramp(n, 0.2, 0.8, 0, 1000)), "length_mean": ramp(n, 300, 3000, 0, 1000)},
            ),
            ("two answers, each often right", lambda n: {"commonest": ramp(n, 0.1, 0.6)}),
            ("nearly all rows have one answer, from the first step on", lambda n: {"commonest": ramp(n, 0.75, 0.95)}),
            ("too few prompts to tell", lambda n: {"commonest": None}),
            (
                "form and answer rise together",
                lambda n: {"form": around(ramp(n, 0.1, 0.9)), "answer": around(ramp(n, 0.2, 0.6))},
            ),
            ("form is learned", lambda n: {"form": around(ramp(n, 0.1, 0.9))}),
            ("nothing moves at all", lambda n: {"form": {"mean": 0.0, "std": 0.0}}),
        ],
    )
    def test_what_is_as_it_should_be(self, what: str, values: Callable[[int], dict[str, Any]]) -> None:
        assert told(series(1000 if "thousand" in what else 80, values)) == [], what

    def test_noise_of_a_hundred_and_fifty_runs(self) -> None:
        """128 completions a step: means with a standard error of 0.5 ÷ √128; lengths and shares jump about as well."""
        chance = random.Random(1)

        def noisy() -> Step:
            def jumping() -> dict[str, float]:
                return around(chance.gauss(0.5, 0.5 / 128**0.5))

            return step(
                reward=jumping(),
                form=jumping(),
                answer=jumping(),
                length_mean=chance.uniform(100, 600),
                cut_off=chance.uniform(0, 0.6),
                commonest=chance.uniform(0.05, 0.5),
            )

        assert sum(bool(told([noisy() for _ in range(60)])) for _ in range(150)) == 0

    def test_steps_that_nobody_could_judge_are_passed_over(self) -> None:
        unjudged = step(reward=None, form=None, answer=None)
        woven = [each for seen in EXPLODING for each in (seen, unjudged)]
        assert [code for _, code in told(woven)] == ["length_explodes"]


class TestEpisodes:
    def test_a_second_one_is_told_as_well(self) -> None:
        recovered = series(SPAN + 2 * WINDOW, lambda n: {})
        assert [code for _, code in told(COLLAPSING + recovered + COLLAPSING)] == ["one_text", "one_text"]

    def test_new_rewards_begin_anew(self) -> None:
        """An edit moves every reward at once: that is no climb."""
        before = series(30, lambda n: {"form": around(0.1), "answer": around(0.5)})
        after = [step(2, form=around(0.9), answer=around(0.1)) for _ in range(30)]
        assert told(before + after) == []


class TestResume:
    @pytest.mark.parametrize("at", range(1, 60, 3))
    @pytest.mark.parametrize("steps", [EXPLODING, COLLAPSING, FORM_FIRST])
    def test_it_says_what_an_undisturbed_run_says(self, steps: list[Step], at: int) -> None:
        def remembered() -> Iterator[Step]:
            yield from steps[:at]

        resumed = HackingWatch()
        for seen in remembered():
            resumed.see(seen)
        assert told(steps[at:], resumed) == [(number - at, code) for number, code in told(steps) if number > at]
