"""A file with votes becomes items and the votes on them. Runs outside of the event loop's process."""

from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from fettle.comparisons.imports import argilla, label_studio, own, records
from fettle.comparisons.imports.votes import ImportedVote, LeftOut, Unfit, checked
from fettle.comparisons.prompts import digest
from fettle.errors import InvalidRequest

FORMATS: dict[str, ModuleType] = {"label_studio": label_studio, "argilla": argilla, "fettle": own}
BYTES_AT_MOST = 16 << 20  # of a file
VOTES_AT_MOST = 20_000  # as of a comparison
SHOWN = 5  # problems in a sentence
LISTED = 100  # votes that were left out
SECONDS, MEMORY = 30.0, 1 << 30


class Items:
    """By digest; votes know the line they come from."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.count = 0
        self.left_out: list[dict[str, Any]] = []
        self.left_out_count = 0

    def add(self, vote: ImportedVote, line: int) -> None:
        key = digest(vote.prompt, vote.responses)
        item = self.items.setdefault(
            key, {"digest": key, "prompt": vote.prompt, "responses": vote.responses, "votes": {}}
        )
        earlier = item["votes"].get(vote.annotator or "")
        if earlier is not None:
            self.leave_out(line, f"The annotator has voted on the same responses in line {earlier['line']}.")
            return
        levels = [sorted(level) for level in vote.levels]
        item["votes"][vote.annotator or ""] = {"line": line, "levels": levels, "seconds": vote.seconds}
        self.count += 1

    def leave_out(self, line: int, message: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < LISTED:
            self.left_out.append({"line": line, "message": message})


def read(argument: Any, content: bytes) -> bytes:
    """A line of JSON about the file, and one for each item with its votes. Raises InvalidRequest, which names lines.

    argument: {"path", "format", "prompt_key"}.
    """
    found, problems = Items(), []
    shape: ModuleType | None = FORMATS.get(argument["format"])
    for record in records.read(Path(argument["path"])):
        try:
            if record.value is None:
                raise Unfit(record.problem or "The record cannot be read.")
            shape = shape or recognise(record.value)
            for vote in shape.votes(record.value, argument["prompt_key"]):
                if isinstance(vote, LeftOut):
                    found.leave_out(record.line, vote.message)
                else:
                    found.add(checked(vote), record.line)
        except Unfit as unfit:
            problems.append(f"Line {record.line}: {unfit}")
        if found.count > VOTES_AT_MOST:
            raise InvalidRequest(f"The file has more than {VOTES_AT_MOST:,} votes, which is the limit.", param="file")
    if problems:
        raise InvalidRequest(sentence(problems), code="invalid_file", param="file")
    if not found.count:
        why = f" Line {found.left_out[0]['line']}: {found.left_out[0]['message']}" if found.left_out else ""
        raise InvalidRequest(f"The file has no vote.{why}", code="no_votes", param="file")
    header = {
        "format": next(name for name, each in FORMATS.items() if each is shape),
        "votes": found.count,
        "annotators": list(dict.fromkeys(own for item in found.items.values() for own in item["votes"])),
        "left_out": found.left_out,
        "left_out_count": found.left_out_count,
    }
    return b"\n".join(map(orjson.dumps, [header, *found.items.values()]))


def recognise(record: dict[str, Any]) -> ModuleType:
    """By the first record. Raises Unfit."""
    for each in FORMATS.values():
        if each.fits(record):
            return each
    raise Unfit(
        "The record is neither a ranking nor a pair of Fettle, nor a record of Argilla or a task of Label Studio. Its "
        f"keys are: {', '.join(repr(key[:40]) for key in list(record)[:10])}."
    )


def sentence(problems: list[str]) -> str:
    more = len(problems) - SHOWN
    end = f" There {'is 1 more' if more == 1 else f'are {more:,} more'}." if more > 0 else ""
    return f"{' '.join(problems[:SHOWN])}{end}"
