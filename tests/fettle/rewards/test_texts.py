"""What user code says is cut and made storable outside of its process."""

import orjson
import pytest

from fettle.rewards import texts
from fettle.rewards.graders import combined
from fettle.rewards.samples import Failure, Mark


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
    marks = [(f"g{number}", 1.0, Mark(1.0, printed=str(number % 10) * 4096)) for number in range(32)]
    score = combined(marks)
    assert len(score.printed) <= 4096
    assert all(str(number) in score.printed for number in range(10))


def test_two_graders_that_print_little_lose_nothing() -> None:
    assert (
        combined([("a", 1.0, Mark(1.0, printed="one\n")), ("b", 1.0, Mark(1.0, printed="two\n"))]).printed
        == "one\ntwo\n"
    )


def test_an_error_is_cut_and_made_storable_whatever_grader_it_comes_from() -> None:
    score = combined([("a", 1.0, Mark(None, Failure("other_error", "\0" + "y" * 9000 + "\ud800")))])
    message = score.errors["a"].message
    assert len(message) == 4000
    assert message.endswith("y�")
