"""From a snapshot of an account at OpenAI into this Fettle, by its public API alone. Nothing comes twice."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

from fettle.errors import FettleError, Unavailable
from fettle.importers import evals, jobs
from fettle.importers.bases import Bases
from fettle.importers.folder import KINDS, Folder, Imported
from fettle.importers.graders import Unmapped
from fettle.importers.report import CAME, CANNOT, CHANGE, KEPT, STAYS, Row
from fettle.importers.snapshot import DATASETS, RESULTS, Snapshot, Tell
from fettle.wording import quantity

OBJECTS_AT_MOST = 1_000_000
WEIGHTS = "OpenAI does not release the weights of tuned models."


class Fettle(Protocol):
    """The client of a Fettle server."""

    url: str

    def get(self, path: str, **query: Any) -> Any: ...
    def post(self, path: str, body: dict[str, Any] | None = None) -> Any: ...
    def delete(self, path: str) -> Any: ...
    def upload(self, file: BinaryIO, name: str, purpose: str) -> dict[str, Any]: ...
    def pages(self, path: str, most: int, **query: Any) -> list[dict[str, Any]]: ...


class Transfer:
    """dry: says what would come, and changes nothing. keep: jobs keep every hyperparameter."""

    def __init__(
        self, fettle: Fettle, folder: Folder, snapshot: Snapshot, bases: Bases, tell: Tell, *, dry: bool, keep: bool
    ) -> None:
        self.fettle, self.folder, self.snapshot, self.bases, self.tell = fettle, folder, snapshot, bases, tell
        self.dry, self.keep = dry, keep
        self.runnable: set[str] = set()  # jobs that came
        self.state = Imported(folder, fettle.url)
        here = fettle.pages("/v1/files", OBJECTS_AT_MOST)
        self.file_ids = {each["id"] for each in here}
        self.by_name = {each["filename"]: each["id"] for each in here if each["status"] != "error"}
        known = fettle.pages("/v1/evals", OBJECTS_AT_MOST)
        self.eval_ids = {each["id"] for each in known}
        self.by_origin = {(each["metadata"] or {}).get(evals.ORIGIN): each["id"] for each in known}

    def run(self) -> list[Row]:
        """Raises Unavailable when the server goes away; a later run continues."""
        files, rows = self.files()
        rows += [self.job(job, files) for job in self.snapshot.jobs.values()]
        rows += self.weights()
        rows += [self.eval(each) for each in self.snapshot.evals.values()]
        return rows + self.rest()

    def files(self) -> tuple[dict[str, str], list[Row]]:
        """Ids here by OpenAI's ids, and a row for each dataset."""
        ids: dict[str, str] = {}
        rows = []
        datasets = [each for each in self.snapshot.files.values() if each.get("purpose") in DATASETS]
        for number, file in enumerate(datasets, 1):
            self.tell(f"uploading {number} of {len(datasets)} files")
            row = self.file(file)
            rows.append(row)
            if row.outcome == CAME:
                ids[file["id"]] = self.state.id_of("files", file["id"]) or file["id"]
        return ids, rows

    def file(self, file: Mapping[str, Any]) -> Row:
        row = Row("file", file["id"], str(file.get("filename")), CAME, "")
        name = f"{file['id']}-{file.get('filename')}"  # by which a run that was killed finds what it has sent
        known = self.state.id_of("files", file["id"])
        if known in self.file_ids:
            row.result = f"{known}, which came earlier"
            return row
        if name in self.by_name:
            if not self.dry:
                self.state.remember("files", file["id"], self.by_name[name])
            row.result = f"{self.by_name[name]}, which came earlier"
            return row
        content = self.folder.content(file["id"])
        if not content.exists() and (reason := self.gone(file)) is not None:
            row.outcome, row.result = CANNOT, reason
            return row
        if self.dry:
            row.result = "would be uploaded and checked"
            return row
        try:
            with content.open("rb") as opened:
                sent = self.fettle.upload(opened, name, file["purpose"])
        except Unavailable:
            raise
        except FettleError as error:
            row.outcome, row.result = CANNOT, error.message
            return row
        if sent["status"] == "error":
            self.fettle.delete(f"/v1/files/{sent['id']}")
            row.outcome, row.result, row.notes = CANNOT, problem(sent), [f"Fix {content}, and run the import again."]
            return row
        self.state.remember("files", file["id"], sent["id"])
        count = (sent.get("validation") or {}).get("rows")
        row.result = f"{sent['id']}, {count:,} rows" if count else sent["id"]
        return row

    def gone(self, file: Mapping[str, Any]) -> str | None:
        """Why the content of a file is not in the folder; None: nobody has asked for it yet."""
        if file["id"] in self.snapshot.gaps:
            return f"OpenAI does not give its content: {self.snapshot.gaps[file['id']]}"
        return None if self.dry else "Its content is not in the folder. Run the import without --offline."

    def job(self, job: Mapping[str, Any], files: Mapping[str, str]) -> Row:
        row = Row("job", job["id"], str(job.get("fine_tuned_model") or job.get("model")), CAME, "")
        if job.get("status") == "failed":
            message = (job.get("error") or {}).get("message") or "no reason given"
            row.outcome, row.result = STAYS, f"It failed at OpenAI: {message}"
            return row
        try:
            body, row.notes = jobs.convert(job, files, self.bases, keep=self.keep)
        except Unmapped as error:
            row.outcome, row.result = CANNOT, str(error)
            return row
        self.runnable.add(job["id"])
        target = self.folder.job(job["id"])
        if self.dry:
            row.result = f"would become {target}, on {body['model']}"
            return row
        self.folder.write(f"jobs/{job['id']}.json", body)
        row.result = f"{target}, on {body['model']}" + (" with its grader" if "reinforcement" in body["method"] else "")
        self.tell(f"checking {target.name}")
        try:
            self.fettle.post("/v1/fine_tuning/estimate", body)
        except Unavailable:
            raise
        except FettleError as error:
            row.outcome = CHANGE
            row.notes = [f"This Fettle would refuse it as it is: {error.message}", *row.notes]
        return row

    def weights(self) -> list[Row]:
        rows = []
        for job in self.snapshot.jobs.values():
            checkpoints = [
                each for each in self.snapshot.checkpoints.values() if each.get("fine_tuning_job_id") == job["id"]
            ]
            if model := job.get("fine_tuned_model"):
                note = f"Train its successor: fettle train {self.folder.job(job['id'])}"
                notes = [note] if job["id"] in self.runnable else []
                rows.append(Row("model", str(model), str(job.get("model")), STAYS, WEIGHTS, notes))
            if checkpoints:
                kept = f"{quantity(len(checkpoints), 'checkpoint')}: steps and metrics, without weights"
                rows.append(Row("checkpoints", job["id"], "checkpoints.json", KEPT, kept))
        return rows

    def eval(self, found: Mapping[str, Any]) -> Row:
        row = Row("eval", found["id"], str(found.get("name") or ""), CAME, "")
        known = self.state.id_of("evals", found["id"])
        earlier = known if known in self.eval_ids else self.by_origin.get(found["id"])
        if earlier is not None:
            if not self.dry:
                self.state.remember("evals", found["id"], earlier)
            row.result = f"{earlier}, which came earlier"
        else:
            self.create_eval(found, row)
        if runs := [each for each in self.snapshot.eval_runs.values() if each.get("eval_id") == found["id"]]:
            row.notes.append(
                f"{quantity(len(runs), 'run')}: the results are in eval_runs.json. Run the eval here for new ones."
            )
        return row

    def create_eval(self, found: Mapping[str, Any], row: Row) -> None:
        try:
            body, row.notes = evals.convert(found, self.bases)
            if self.dry:
                row.result = "would be created"
                return
            made = self.fettle.post("/v1/evals", body)
        except Unmapped as error:
            row.outcome, row.result = CANNOT, str(error)
        except Unavailable:
            raise
        except FettleError as error:
            row.outcome, row.result = CANNOT, error.message
        else:
            self.state.remember("evals", found["id"], made["id"])
            row.result = made["id"]

    def rest(self) -> list[Row]:
        """Files that no job and no eval trains on, and what OpenAI refused as a whole."""
        rows = []
        purposes = Counter(str(each.get("purpose")) for each in self.snapshot.files.values())
        for purpose, count in sorted(purposes.items()):
            if purpose == RESULTS:
                kept = "curves of jobs, as OpenAI wrote them; a dry run does not download them"
                rows.append(Row("files", purpose, quantity(count, "file"), KEPT, kept))
            elif purpose not in DATASETS:
                reason = "Only files to train on and files of evals come. Download these from OpenAI if you need them."
                rows.append(Row("files", purpose, quantity(count, "file"), STAYS, reason))
        for kind in KINDS:
            if kind in self.snapshot.gaps:
                name = kind.replace("_", " ")
                rows.append(Row(name, "all", "", CANNOT, f"OpenAI does not list them: {self.snapshot.gaps[kind]}"))
        return rows


def problem(file: Mapping[str, Any]) -> str:
    """The first thing that validation found, and how many more."""
    report = file.get("validation") or {}
    first = (report.get("errors") or [{}])[0]
    place = f"line {first.get('line')}" + (f", {first['path']}" if first.get("path") else "")
    more = int(report.get("error_count") or 1) - 1
    rest = f" ({quantity(more, 'more problem')})" if more else ""
    return f"{place}: {first.get('message', 'not valid')} {first.get('fix', '')}".strip() + rest
