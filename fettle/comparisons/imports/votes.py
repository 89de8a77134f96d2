"""Votes that were made elsewhere, whatever the format of the file that they come in."""

from typing import Any, NamedTuple

from fettle.comparisons.prompts import CHARACTERS_AT_MOST, RESPONSES_AT_MOST

PROMPT_KEYS = ("prompt", "instruction", "question", "input")  # of a record, unless the request names one
NAME_AT_MOST = 100  # characters of an annotator's name

Messages = list[dict[str, Any]]


class ImportedVote(NamedTuple):
    """levels: the responses' texts, best first; those of one level tie."""

    prompt: Messages
    responses: list[str]
    levels: list[list[str]]
    annotator: str | None = None  # as the file names them
    seconds: float | None = None


class LeftOut(NamedTuple):
    """A vote that ranks nothing. message: the reason."""

    message: str


class Unfit(ValueError):
    """A record that cannot be read. The message says why, and never shows what the record says."""


def text(value: Any, name: str) -> str:
    """Raises Unfit for anything but a text that a row can hold."""
    if not isinstance(value, str):
        raise Unfit(f"{name} is not text.")
    if not value.strip():
        raise Unfit(f"{name} is empty.")
    if len(value) > CHARACTERS_AT_MOST:
        raise Unfit(f"{name} has {len(value):,} characters; the limit is {CHARACTERS_AT_MOST:,}.")
    if "\0" in value or not encodable(value):
        raise Unfit(f"{name} contains a character that is not text: U+0000 or half of a surrogate pair.")
    return value


def encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def prompt_of(fields: dict[str, Any], key: str | None) -> str:
    """Raises Unfit."""
    found = key or next((name for name in PROMPT_KEYS if name in fields), None)
    if found is None or found not in fields:
        wanted = repr(key) if key else f"any of {', '.join(map(repr, PROMPT_KEYS))}"
        raise Unfit(f"The record does not have {wanted}. Send 'prompt_key' with the name of the prompt's field.")
    return found


def as_messages(prompt: str) -> Messages:
    return [{"role": "user", "content": prompt}]


def checked(vote: ImportedVote) -> ImportedVote:
    """Raises Unfit for what no item can hold."""
    if not 2 <= len(vote.responses) <= RESPONSES_AT_MOST:
        raise Unfit(f"The record has {len(vote.responses)} responses. Use 2 to {RESPONSES_AT_MOST}.")
    if len(set(vote.responses)) < len(vote.responses):
        raise Unfit("Two responses of the record are the same.")
    if vote.annotator is not None and (len(vote.annotator) > NAME_AT_MOST or not vote.annotator.isprintable()):
        raise Unfit(f"The annotator's name is not printable, or longer than {NAME_AT_MOST} characters.")
    return vote
