"""OpenAI's graders as they are run here: the same, but for the models that they ask."""

from typing import Any

from fettle.importers.bases import Bases

JUDGED = ("score_model", "label_model")


class Unmapped(Exception):
    """What keeps an object from coming here, and the way out."""


def mapped(grader: Any, bases: Bases, notes: list[str]) -> Any:
    """With judges that are here. Raises Unmapped."""
    if not isinstance(grader, dict):
        return grader
    found = {name: value for name, value in grader.items() if value is not None}
    if found.get("type") in JUDGED and isinstance(found.get("model"), str):
        theirs = found["model"]
        ours = bases.find(theirs)
        if ours is None:
            raise Unmapped(f"The grader {found.get('name')!r} asks {theirs}. {bases.advice(theirs)}")
        found["model"] = ours
        notes.append(
            f"The grader {found.get('name')!r} asks {ours}, not {theirs}: compare their scores before you rely on it."
        )
    parts = found.get("graders")
    if isinstance(parts, dict):
        one = isinstance(parts.get("type"), str)
        found["graders"] = (
            mapped(parts, bases, notes) if one else {name: mapped(each, bases, notes) for name, each in parts.items()}
        )
    elif isinstance(parts, list):
        found["graders"] = [mapped(each, bases, notes) for each in parts]
    return found
