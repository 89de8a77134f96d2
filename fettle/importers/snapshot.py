"""An account at OpenAI as lists of its objects, read from there or from a folder."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fettle.importers.account import Account, AccountError
from fettle.importers.folder import KINDS, Folder, Objects, by_id

Tell = Callable[[str], None]
DATASETS = ("fine-tune", "evals")  # purposes whose files are uploaded here
RESULTS = "fine-tune-results"  # downloaded: the only record of how a job learned


@dataclass
class Snapshot:
    """gaps: what OpenAI did not give, by kind, and why."""

    files: Objects = field(default_factory=dict)
    jobs: Objects = field(default_factory=dict)
    checkpoints: Objects = field(default_factory=dict)
    evals: Objects = field(default_factory=dict)
    eval_runs: Objects = field(default_factory=dict)
    gaps: dict[str, str] = field(default_factory=dict)


def of_account(account: Account, tell: Tell) -> Snapshot:
    """Raises AccountError for a key that is not valid; what else is refused becomes a gap."""
    found = Snapshot()

    def read(kind: str, rows: Iterator[dict[str, Any]]) -> Objects:
        tell(f"reading {kind.replace('_', ' ')}")
        try:
            return by_id(rows)
        except AccountError as error:
            if error.ends_everything:
                raise
            found.gaps[kind] = error.message
            return {}

    found.files = read("files", account.all("/files"))
    found.jobs = read("jobs", account.all("/fine_tuning/jobs"))
    for job_id in found.jobs:
        found.checkpoints |= read("checkpoints", account.all(f"/fine_tuning/jobs/{job_id}/checkpoints"))
    found.evals = read("evals", account.all("/evals"))
    for eval_id in found.evals:
        found.eval_runs |= read("eval_runs", account.all(f"/evals/{eval_id}/runs"))
    return found


def of_folder(folder: Folder) -> Snapshot:
    found = Snapshot()
    for kind in KINDS:
        setattr(found, kind, folder.load(kind))
    return found


def save(found: Snapshot, folder: Folder) -> Snapshot:
    """With what earlier runs have saved: OpenAI may have deleted it since."""
    merged = Snapshot(gaps=found.gaps)
    for kind in KINDS:
        setattr(merged, kind, folder.merge(kind, getattr(found, kind).values()))
    return merged


def download(account: Account, found: Snapshot, folder: Folder, tell: Tell) -> None:
    """The contents that are not here yet. Raises AccountError for a key that is not valid."""
    wanted = [each for each in found.files.values() if each.get("purpose") in (*DATASETS, RESULTS)]
    waiting = [each for each in wanted if not folder.content(each["id"]).exists()]
    for number, each in enumerate(waiting, 1):
        tell(f"downloading {number} of {len(waiting)} files")
        try:
            account.download(each["id"], folder.content(each["id"]))
        except AccountError as error:
            if error.ends_everything:
                raise
            found.gaps[each["id"]] = error.message
