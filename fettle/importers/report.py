"""What became of each object: the table at the end of an import."""

from dataclasses import asdict, dataclass, field
from typing import Any

CAME, KEPT = "came", "in the folder"
STAYS = "left there"  # by its nature: weights, jobs that failed, files for other purposes
CHANGE, CANNOT = "needs a change", "cannot come"


@dataclass
class Row:
    """result: where it is now, or why it cannot come. notes: what differs, and what to do."""

    kind: str
    id: str
    name: str
    outcome: str
    result: str
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
