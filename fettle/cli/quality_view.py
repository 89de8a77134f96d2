"""What may make training on a dataset worse, as a person reads it."""

from pathlib import Path
from typing import Any

from fettle.cli.client import Client
from fettle.cli.files import show_quality
from fettle.cli.terminal import plain, say
from fettle.datasets.formats import quality, reading
from fettle.datasets.formats.validation import validate
from fettle.errors import InvalidRequest
from fettle.settings import Settings

LINES = 20  # shown of each finding


def of(file: str, valid: Path | None, settings: Settings) -> dict[str, Any]:
    """Of a dataset on this machine, with the overlap of a validation file there; or of an uploaded one by its id."""
    path = Path(file)
    if not path.is_file() and file.startswith("file-"):
        if valid is not None:
            raise InvalidRequest("--valid compares two files on this machine. Download the training file first.")
        report = Client(settings).get(f"/v1/files/{file}")["validation"] or {}
        if report.get("quality") is None:
            raise InvalidRequest(f"{file} has no report of its quality. Upload it again, without errors.")
        return dict(report["quality"])
    found = checked(path, settings)
    if valid is not None:
        checked(valid, settings)
        known = quality.overlap(reading.rows(path), reading.rows(valid))
        found = found.model_copy(update={"findings": [*found.findings, *([known] if known else [])]})
    return found.model_dump()


def checked(path: Path, settings: Settings) -> quality.Quality:
    if not path.is_file():
        raise InvalidRequest(f"The file {path} does not exist. Ids of uploaded files start with 'file-'.")
    report = validate(path, max_row_bytes=settings.max_row_bytes)
    if not report.ok or report.quality is None:
        raise InvalidRequest(f"{path}: {report.summary()}")
    return report.quality


def show(found: dict[str, Any]) -> None:
    rows = f"{found['rows']:,} rows" if found["complete"] else f"The first {found['rows']:,} rows"
    parts = [f"{rows}."]
    if (length := found["characters"]) is not None:
        parts.append(f"Characters of a row: {length['min']:,} to {length['max']:,}, median {length['median']:,.0f}.")
    if found["reasoning"] is not None:
        parts.append(f"{found['reasoning']:.0%} of the answers show their reasoning.")
    if (labels := found["labels"]) is not None:
        parts.append(
            f"The answers are {labels['count']} labels; the most frequent is {labels['largest']:.0%} of them, the "
            f"least frequent {labels['smallest']:.1%}."
        )
    say(plain(" ".join(parts)))
    show_quality(found, LINES)
    if not found["findings"]:
        say(plain("Nothing stands out.", "green"))
