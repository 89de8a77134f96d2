"""Files and jobs."""

from itertools import islice

from tests.conformance.calls import NO_MODEL, ROWS, Table, bad, conflict, create, hyper, missing, unknown, upload

FILES: Table = {
    "files.create": (
        lambda c, t: [(f := upload(c)).status, f.purpose, f.filename],
        ["processed", "fine-tune", "sums.jsonl"],
    ),
    "files.create purpose": (lambda c, t: upload(c, purpose="vision"), bad("purpose")),
    "files.create unknown field": (lambda c, t: upload(c, extra_body={"colour": "red"}), unknown("colour")),
    "files.create unknown query": (lambda c, t: upload(c, extra_query={"colour": "red"}), unknown("colour")),
    "files.retrieve": (lambda c, t: c.files.retrieve(t.spare).id == t.spare, True),
    "files.retrieve 404": (lambda c, t: c.files.retrieve("file-none"), missing("file_id")),
    "files.retrieve unknown query": (lambda c, t: c.files.retrieve(t.spare, extra_query={"a": 1}), unknown("a")),
    "files.content": (lambda c, t: c.files.content(t.spare).read() == ROWS, True),
    "files.content 404": (lambda c, t: c.files.content("file-none"), missing("file_id")),
    "files.list pages": (lambda c, t: len([f.id for f in c.files.list(limit=1)]) > 2, True),
    "files.list order": (
        lambda c, t: [f.id for f in c.files.list(order="asc")] == [f.id for f in c.files.list()][::-1],
        True,
    ),
    "files.list purpose": (lambda c, t: len(list(c.files.list(purpose="fine-tune-results"))), 0),
    "files.list limit": (lambda c, t: c.files.list(limit=0), bad("limit")),
    "files.list after": (lambda c, t: c.files.list(after="file-none"), bad("after")),
    "files.list order 400": (lambda c, t: c.files.list(order="up"), bad("order")),  # type: ignore[arg-type]
    "files.list unknown query": (lambda c, t: c.files.list(extra_query={"before": "x"}), unknown("before")),
    "files.delete in use": (lambda c, t: c.files.delete(t.file), conflict("file_in_use")),
    "files.delete 404": (lambda c, t: c.files.delete("file-none"), missing("file_id")),
    "files.delete": (lambda c, t: c.files.delete(upload(c).id).deleted, True),
}

JOBS: Table = {
    "jobs.create": (
        lambda c, t: [(j := create(c, t, suffix="s", seed=7, metadata={"a": "b"})).status, j.seed, j.metadata, j.model],
        ["queued", 7, {"a": "b"}, "starter"],
    ),
    "jobs.create alias": (lambda c, t: create(c, t, model=t.alias).model, "starter"),
    "jobs.create slash": (lambda c, t: create(c, t, model=t.base).model, "acme/tiny-1"),
    "jobs.create auto": (lambda c, t: create(c, t, method=hyper(n_epochs="auto")).status, "queued"),
    "jobs.create older place": (
        lambda c, t: create(c, t, hyperparameters={"n_epochs": 2}).hyperparameters.n_epochs,
        2,
    ),
    "jobs.create model": (lambda c, t: create(c, t, model="gpt-5"), NO_MODEL),
    "jobs.create training_file": (
        lambda c, t: create(c, t, training_file="file-none"),
        bad("training_file", "file_not_found"),
    ),
    "jobs.create validation_file": (
        lambda c, t: create(c, t, validation_file="file-none"),
        bad("validation_file", "file_not_found"),
    ),
    "jobs.create missing": (
        lambda c, t: c.post("/fine_tuning/jobs", body={"model": "starter"}, cast_to=object),
        bad("training_file", "missing_required_parameter"),
    ),
    "jobs.create method": (lambda c, t: create(c, t, method={"type": "sorcery"}), bad("method.type")),
    "jobs.create seed as text": (lambda c, t: create(c, t, seed="5"), bad("seed")),
    "jobs.create seed as truth": (lambda c, t: create(c, t, seed=True), bad("seed")),
    "jobs.create epochs as text": (
        lambda c, t: create(c, t, method=hyper(n_epochs="3")),
        bad("method.supervised.hyperparameters.n_epochs"),
    ),
    "jobs.create batch as truth": (
        lambda c, t: create(c, t, method=hyper(batch_size=True)),
        bad("method.supervised.hyperparameters.batch_size"),
    ),
    "jobs.create rate as text": (
        lambda c, t: create(c, t, hyperparameters={"learning_rate_multiplier": "2"}),
        bad("hyperparameters.learning_rate_multiplier"),
    ),
    "jobs.create rank as truth": (
        lambda c, t: create(c, t, method=hyper(lora={"rank": True})),
        bad("method.supervised.hyperparameters.lora.rank"),
    ),
    "jobs.create metadata": (lambda c, t: create(c, t, metadata={"k": 5}), bad("metadata.k")),
    "jobs.create suffix": (lambda c, t: create(c, t, suffix="a b"), bad("suffix")),
    "jobs.create unknown field": (lambda c, t: create(c, t, extra_body={"colour": "red"}), unknown("colour")),
    "jobs.create unknown query": (lambda c, t: create(c, t, extra_query={"colour": "red"}), unknown("colour")),
    "jobs.retrieve": (lambda c, t: c.fine_tuning.jobs.retrieve(t.job).id == t.job, True),
    "jobs.retrieve 404": (lambda c, t: c.fine_tuning.jobs.retrieve("ftjob-none"), missing("fine_tuning_job_id")),
    "jobs.list pages": (lambda c, t: len({j.id for j in c.fine_tuning.jobs.list(limit=2)}) > 4, True),
    "jobs.list metadata": (
        lambda c, t: [j.id for j in c.fine_tuning.jobs.list(metadata={"team": "blue"})] == [t.job],
        True,
    ),
    "jobs.list metadata none": (
        lambda c, t: (
            {
                *map(str, (j.metadata for j in c.fine_tuning.jobs.list(extra_query={"metadata": "null"}))),
            }
            == {"None"}
        ),
        True,
    ),
    "jobs.list metadata both": (
        lambda c, t: c.fine_tuning.jobs.list(extra_query={"metadata[a]": "b", "metadata": "null"}),
        bad("metadata"),
    ),
    "jobs.list metadata word": (
        lambda c, t: c.fine_tuning.jobs.list(extra_query={"metadata": "blue"}),
        bad("metadata"),
    ),
    "jobs.list limit": (lambda c, t: c.fine_tuning.jobs.list(limit=101), bad("limit")),
    "jobs.list after": (lambda c, t: c.fine_tuning.jobs.list(after="ftjob-none"), bad("after")),
    "jobs.list unknown query": (lambda c, t: c.fine_tuning.jobs.list(extra_query={"status": "x"}), unknown("status")),
    "events.list pages": (
        lambda c, t: [e.message for e in islice(c.fine_tuning.jobs.list_events(t.job, limit=1), 2)],
        ["Step 2", "Step 1"],
    ),
    "events.list 404": (lambda c, t: c.fine_tuning.jobs.list_events("ftjob-none"), missing("fine_tuning_job_id")),
    "events.list limit": (lambda c, t: c.fine_tuning.jobs.list_events(t.job, limit=0), bad("limit")),
    "events.list after": (lambda c, t: c.fine_tuning.jobs.list_events(t.job, after="ftevent-none"), bad("after")),
    "events.list unknown query": (
        lambda c, t: c.fine_tuning.jobs.list_events(t.job, extra_query={"order": "asc"}),
        unknown("order"),
    ),
    "checkpoints.list pages": (
        lambda c, t: [k.step_number for k in c.fine_tuning.jobs.checkpoints.list(t.job, limit=1)],
        [2, 1],
    ),
    "checkpoints.list 404": (
        lambda c, t: c.fine_tuning.jobs.checkpoints.list("ftjob-none"),
        missing("fine_tuning_job_id"),
    ),
    "checkpoints.list after": (
        lambda c, t: c.fine_tuning.jobs.checkpoints.list(t.job, after="ftckpt_none"),
        bad("after"),
    ),
    "jobs.cancel ended": (lambda c, t: c.fine_tuning.jobs.cancel(t.ended), conflict("job_not_active")),
    "jobs.cancel 404": (lambda c, t: c.fine_tuning.jobs.cancel("ftjob-none"), missing("fine_tuning_job_id")),
    "jobs.cancel": (lambda c, t: c.fine_tuning.jobs.cancel(t.plain).status, "cancelled"),
}

PAUSES: Table = {
    "jobs.pause": (lambda c, t: c.fine_tuning.jobs.pause(t.job).id == t.job, True),
    "jobs.pause ended": (lambda c, t: c.fine_tuning.jobs.pause(t.ended), conflict("job_not_active")),
    "jobs.pause 404": (lambda c, t: c.fine_tuning.jobs.pause("ftjob-none"), missing("fine_tuning_job_id")),
    "jobs.resume": (lambda c, t: c.fine_tuning.jobs.resume(t.job).status, "queued"),
    "jobs.resume 404": (lambda c, t: c.fine_tuning.jobs.resume("ftjob-none"), missing("fine_tuning_job_id")),
}
