"""Numbers in text, exactly: 1,234.50 · 3/4 · −5 · $7 · 50 %."""

import re
from fractions import Fraction

NUMBER = r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:\s?/\s?\d+)?"
FOUND = re.compile(rf"(?<![\w.])(?=[-+−.\d]){NUMBER}(?<=\d)", re.ASCII)
CLOSE = Fraction(1, 10**6)  # of the larger: what is rounded in the sixth place counts as equal
DIGITS_AT_MOST = 100


def number(text: str) -> Fraction | None:
    """The only number in the text, what stands before the last `=` left aside; None when there is not just one."""
    found = FOUND.findall(text.rpartition("=")[2])
    return as_fraction(found[0]) if len(found) == 1 else None


def as_fraction(text: str) -> Fraction | None:
    plain = text.replace(",", "").replace("−", "-").replace(" ", "")
    if len(plain) > DIGITS_AT_MOST:
        return None
    top, _, bottom = plain.partition("/")
    try:
        return Fraction(top) / Fraction(bottom or "1")
    except (ValueError, ZeroDivisionError):
        return None


def equal(one: Fraction, other: Fraction) -> bool:
    return abs(one - other) <= CLOSE * max(abs(one), abs(other))
