"""Text that user code or a model wrote, as Fettle keeps it: cut, and free of what JSON or a database cannot hold.

User code runs in the process that reports its output, so that every limit is applied here, outside of it.
"""

from collections.abc import Sequence

PRINTED_AT_MOST = 4096  # characters of a sample's printed output, all of its graders together
ERROR_AT_MOST = 4000  # characters of an error; the end is kept, where a traceback names the exception
MARK_AT_MOST = 64  # characters of the words about what was cut


def storable(text: str) -> str:
    """Without NUL (PostgreSQL refuses it) and lone surrogates (UTF-8 has none): each becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")


def printed(text: str, at_most: int = PRINTED_AT_MOST) -> str:
    """The beginning. A text that the sandbox has cut and marked already is left as it is."""
    if len(text) <= at_most + MARK_AT_MOST:
        return storable(text)
    return f"{storable(text[:at_most])}… ({len(text) - at_most:,} more characters)"


def joined(texts: Sequence[str]) -> str:
    """The output of a sample's graders as one text; where it is too long, each grader has an equal share."""
    said = [text for text in texts if text]
    whole = "".join(said)
    if len(whole) <= PRINTED_AT_MOST + MARK_AT_MOST:
        return storable(whole)
    return "".join(printed(text, max(0, PRINTED_AT_MOST // len(said) - MARK_AT_MOST)) for text in said)


def error(text: str) -> str:
    """The end."""
    return storable(text if len(text) <= ERROR_AT_MOST else f"…{text[1 - ERROR_AT_MOST :]}")
