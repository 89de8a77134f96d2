import pytest

from fettle.wording import quantity


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 rows"), (1, "1 row"), (1.0, "1 row"), (2.5, "2.5 rows"), (123_456_789, "123,456,789 rows")],
)
def test_one_is_singular_and_digits_are_grouped(number: float, words: str) -> None:
    assert quantity(number, "row") == words
