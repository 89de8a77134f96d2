"""An adapter that storage gives back is compared before it is published; the process that measures is a stand-in."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from fettle.datasets import files
from fettle.errors import Fenced, TrainingFailed
from fettle.host.devices import Slot
from fettle.jobs import lifecycle, proofs
from models import Event, Job, JobStatus, Proof, TunedModel
from tests.fettle.jobs.test_proof_checks import evidence, probe
from worker.attempts.attempt import Attempt
from worker.jobs import publishing, verification

PROOF = {"evidence": evidence(rows_in_file=10, examples=13), "probe": probe()}
DONE = {"type": "done", "path": "adapter", "step": 2, "trained_tokens": 120, "proof": PROOF}
SAME = {"tuned": [[-1.0, -2.0]], "base": [[-1.5, -3.0]], "precision": "fp32"}
BASE = {"tuned": [[-1.5, -3.0]], "base": [[-1.5, -3.0]], "precision": "fp32"}
SLOT = Slot(())


class ProcessLauncher:
    """Each child that it starts says the next of `answers`; None dies without a word."""

    def __init__(self, *answers: list[dict[str, Any]] | None) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []
        self.killed = 0

    async def start(self, folder: Path, slot: Slot, main: Any) -> "ProcessLauncher":
        self.asked.append(json.loads((folder / verification.REQUEST).read_text()))
        self.files = {path.relative_to(folder / "verify") for path in (folder / "verify").rglob("*.*")}
        return self

    async def lines(self, pause: float) -> AsyncIterator[dict[str, Any] | None]:
        yield None
        if (answer := self.answers.pop(0)) is not None:
            yield {"type": "verified", "results": answer}

    async def exit_code(self) -> int:
        return -9

    async def kill(self) -> None:
        self.killed += 1


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "adapter_config.json").write_bytes(b"{}")
    return folder


async def publish(attempt: Attempt, adapter: Path, launcher: ProcessLauncher, done: dict[str, Any] = DONE) -> None:
    folder = adapter.parent / "work"
    folder.mkdir(exist_ok=True)

    async def verify(prefix: str) -> Any:
        return await verification.verify(attempt, cast(Any, launcher), SLOT, folder, done, prefix)

    await publishing.publish(attempt, adapter, done, verify=verify)


async def proof_of(attempt: Attempt) -> dict[str, Any]:
    async with attempt.resources.db.snapshot() as session:
        row = await session.get_one(Job, attempt.job.id)
        (proof,) = await proofs.of_job(session, row)
        return {each["name"]: each for each in proofs.checks_of(proof)} | {"model": proof.model}


async def test_the_same_values_make_a_success_that_says_what_was_checked(attempt: Attempt, adapter: Path) -> None:
    launcher = ProcessLauncher([SAME])
    await publish(attempt, adapter, launcher)
    found = await proof_of(attempt)
    assert found["model"] == "ft:starter:default:s:0123456789"
    assert {name: each["status"] for name, each in found.items() if name != "model"} == {
        "rows": "warning",  # 13 examples, of which 3 + 37 are accounted for
        "supervised_tokens": "ok",
        "adapter_moved": "ok",
        "stored_adapter": "ok",
        "differs_from_base": "ok",
        "served_model": "not_checked",
    }
    assert launcher.asked == [
        {"adapters": [{"folder": "verify/0", "rows": [[1, 2, 3]], "scores": False, "quantization": None}]}
    ]
    assert launcher.files == {Path("0/adapter_model.safetensors"), Path("0/adapter_config.json")}
    assert launcher.killed == 1


async def test_what_a_check_warns_of_is_an_event(attempt: Attempt, adapter: Path) -> None:
    await publish(attempt, adapter, ProcessLauncher([SAME]))
    async with attempt.resources.db.snapshot() as session:
        events = (await session.scalars(select(Event).where(Event.level == "warn"))).all()
    assert [event.data for event in events] == [{"check": "rows"}]


async def test_the_base_models_values_from_storage_fail_and_publish_nothing(attempt: Attempt, adapter: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"differ by 0\.750000 on average over 2 values") as refused:
        await publish(attempt, adapter, ProcessLauncher([BASE]))
    assert refused.value.code == "adapter_not_reproduced"
    async with attempt.resources.db.snapshot() as session:
        assert (await session.get_one(Job, attempt.job.id)).status == JobStatus.RUNNING
        assert not (await session.scalars(select(TunedModel))).all()
        assert not (await session.scalars(select(Proof))).all()


async def test_a_checking_process_that_dies_gets_a_second_try(attempt: Attempt, adapter: Path) -> None:
    launcher = ProcessLauncher(None, [SAME])
    await publish(attempt, adapter, launcher)
    assert (await proof_of(attempt))["stored_adapter"]["status"] == "ok"
    assert launcher.killed == 2


async def test_after_two_deaths_the_proof_says_that_nothing_was_checked(attempt: Attempt, adapter: Path) -> None:
    await publish(attempt, adapter, ProcessLauncher(None, None))
    stored = (await proof_of(attempt))["stored_adapter"]
    assert stored["status"] == "not_checked"
    assert "killed by SIGKILL" in stored["message"]


async def test_a_copy_that_storage_changed_is_not_published(
    attempt: Attempt, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = publishing.upload_adapter

    async def then_damage(attempt: Attempt, folder: Path, where: str) -> None:
        await upload(attempt, folder, where)
        (attempt.settings.data / "storage" / where / "adapter_model.safetensors").write_bytes(b"weightz")

    monkeypatch.setattr(publishing, "upload_adapter", then_damage)
    with pytest.raises(TrainingFailed) as refused:
        await publish(attempt, adapter, ProcessLauncher([SAME]))
    assert refused.value.code == "adapter_not_stored"


async def test_a_worker_that_is_fenced_while_it_checks_publishes_nothing(attempt: Attempt, adapter: Path) -> None:
    class Cancelled(ProcessLauncher):
        async def start(self, folder: Path, slot: Slot, main: Any) -> ProcessLauncher:
            async with attempt.resources.db.transaction() as session:
                await lifecycle.cancel(session, attempt.job.project_id, attempt.job.id)
            return await super().start(folder, slot, main)

    with pytest.raises(Fenced):
        await publish(attempt, adapter, Cancelled([SAME]))
    async with attempt.resources.db.snapshot() as session:
        assert not (await session.scalars(select(Proof))).all()


async def test_the_rows_go_with_the_training_file(attempt: Attempt, adapter: Path) -> None:
    await publish(attempt, adapter, ProcessLauncher([SAME]))
    async with attempt.resources.db.transaction() as session:
        await files.delete(session, attempt.job.project_id, attempt.job.training_file)
    async with attempt.resources.db.snapshot() as session:
        assert (await session.scalars(select(Proof.probe))).all() == [None]
        assert await proofs.unserved(session, 10) == []
    assert "deleted" in (await proof_of(attempt))["served_model"]["message"]


class TestRewardModelOfAJobOfTwoPhases:
    async def two_phases(self, attempt: Attempt, adapter: Path) -> None:
        async with attempt.resources.db.transaction() as session:
            row = await session.get_one(Job, attempt.job.id)
            row.method = {"type": "rlhf", "rlhf": {"reward_model": None, "hyperparameters": {}}}
        attempt.job.method = {"type": "rlhf", "rlhf": {"reward_model": None, "hyperparameters": {}}}
        scores = probe(scores=True, tuned=[[2.0]], base=[[0.5]], next=[], conversations=[[]])
        await publishing.publish_reward_model(attempt, adapter, {"evidence": evidence(), "probe": scores})

    async def test_it_is_checked_with_the_policy(self, attempt: Attempt, adapter: Path) -> None:
        await self.two_phases(attempt, adapter)
        scores = {"tuned": [[2.0]], "base": [[0.5]], "precision": "fp32"}
        launcher = ProcessLauncher([scores, SAME])
        await publish(attempt, adapter, launcher)
        assert [each["scores"] for each in launcher.asked[0]["adapters"]] == [True, False]
        async with attempt.resources.db.snapshot() as session:
            found = await proofs.of_job(session, await session.get_one(Job, attempt.job.id))
        assert [(row.kind, row.model.endswith(":reward-model")) for row in found] == [
            ("chat", False),
            ("reward_model", True),
        ]
        assert all(any(each["name"] == "stored_adapter" for each in row.checks) for row in found)

    async def test_one_that_is_not_what_was_trained_is_withdrawn_and_fails_the_job(
        self, attempt: Attempt, adapter: Path
    ) -> None:
        await self.two_phases(attempt, adapter)
        with pytest.raises(TrainingFailed):
            await publish(
                attempt, adapter, ProcessLauncher([{"tuned": [[1.0]], "base": [[0.5]], "precision": "fp32"}, SAME])
            )
        async with attempt.resources.db.snapshot() as session:
            assert not (await session.scalars(select(TunedModel))).all()
