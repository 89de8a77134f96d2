"""What user code says is cut and made storable outside of its process."""

import orjson
import pytest

from fettle.rewards import texts
from fettle.rewards.graders import combine
from fettle.rewards.samples import Failure, Score


@pytest.mark.parametrize(
    ("text", "kept"), [("a\0b", "a�b"), ("a\ud800b", "a�b"), ("\udc00", "�"), ("héé 😀", "héé 😀")]
)
def test_nul_and_lone_surrogates_become_the_replacement_character(text: str, kept: str) -> None:
    assert texts.storable(text) == kept
    assert orjson.loads(orjson.dumps(texts.storable(text))) == kept


def test_printed_text_keeps_its_beginning_and_says_how_much_was_cut() -> None:
    assert texts.printed("x" * 4096) == "x" * 4096
    assert texts.printed("x" * 5000) == "x" * 4096 + "… (904 more characters)"


def test_an_error_keeps_its_end() -> None:
    cut = texts.error("x" * 9000 + "ValueError: the cause")
    assert len(cut) == 4000
    assert cut.endswith("ValueError: the cause")


def test_the_graders_of_one_sample_share_its_room() -> None:
    grades = [(f"g{number}", 1.0, Score(1.0, printed=str(number % 10) * 4096)) for number in range(32)]
    scores = combine(grades)
    assert len(scores.printed) <= 4096
    assert all(str(number) in scores.printed for number in range(10))


def test_two_graders_that_print_little_lose_nothing() -> None:
    assert (
        combine([("a", 1.0, Score(1.0, printed="one\n")), ("b", 1.0, Score(1.0, printed="two\n"))]).printed
        == "one\ntwo\n"
    )


def test_an_error_is_cut_and_made_storable_whatever_grader_it_comes_from() -> None:
    scores = combine([("a", 1.0, Score(None, Failure("other_error", "\0" + "y" * 9000 + "\ud800")))])
    message = scores.errors["a"].message
    assert len(message) == 4000
    assert message.endswith("y�")
