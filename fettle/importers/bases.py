"""Which base model stands here for one of OpenAI's."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fettle.errors import InvalidRequest

DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True)
class Bases:
    """here: the base models of this Fettle. chosen: by --base OLD=NEW. default: by --base NEW.

    alias: the base model that an alias of this Fettle stands for, if it has that alias.
    """

    here: Sequence[str]
    chosen: dict[str, str]
    default: str | None
    alias: Callable[[str], str | None] = lambda name: None

    @classmethod
    def of(cls, options: Sequence[str], here: Sequence[str], alias: Callable[[str], str | None]) -> "Bases":
        """Raises InvalidRequest."""
        chosen: dict[str, str] = {}
        default: str | None = None
        for option in options:
            old, equals, new = option.rpartition("=")
            if new not in here:
                raise InvalidRequest(
                    f"--base {option}: {new!r} is not a base model here. Use one of: {', '.join(here)}."
                )
            if equals:
                chosen[old] = new
            elif default not in (None, new):
                raise InvalidRequest(
                    f"--base {new}: the default is {default!r} already. Write OLD={new} for one model."
                )
            else:
                default = new
        return cls(here, chosen, default, alias)

    def find(self, theirs: str) -> str | None:
        """None: nothing says which. A tuned model counts as its base."""
        name = base_of(theirs)
        for spelling in (theirs, name, DATE.sub("", name)):
            if spelling in self.chosen:
                return self.chosen[spelling]
        for spelling in (name, DATE.sub("", name)):
            if (found := self.alias(spelling)) is not None:
                return found
        if self.default is None and len(self.here) == 1:
            return self.here[0]
        return self.default

    def advice(self, theirs: str) -> str:
        name = DATE.sub("", base_of(theirs))
        return f"No base model is chosen for {theirs}. Add --base {name}=NAME, with one of: {', '.join(self.here)}."


def base_of(model: str) -> str:
    """Of `ft:gpt-4o-mini-2024-07-18:org:suffix:id` the second part."""
    parts = model.split(":")
    return parts[1] if parts[0] == "ft" and len(parts) > 1 else model
