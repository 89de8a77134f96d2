"""Numbers in sentences."""


def quantity(number: float, noun: str) -> str:
    """`1 row`, `2 rows`, `1,000 rows`."""
    digits = f"{int(number):,}" if number == int(number) else f"{number:g}"
    return f"{digits} {noun}" if number == 1 else f"{digits} {noun}s"
