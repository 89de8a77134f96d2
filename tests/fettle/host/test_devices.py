import pytest

from fettle.cli.doctor import host
from fettle.host import devices
from fettle.host.devices import Gang, Slot
from fettle.settings import Settings

FOUR = ["0", "1", "2", "3"]


def slots(found: list[str], **settings: int) -> list[Slot]:
    return devices.slots(Settings(**settings), found)  # type: ignore[arg-type]


class TestVisible:
    def test_the_operators_choice_is_read_with_its_blanks_and_ids(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-7f,")
        assert devices.visible() == ["4", "GPU-7f"]

    def test_an_empty_choice_hides_every_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert devices.visible() == []


class TestSlots:
    def test_unset_there_is_one_for_each_gpu(self) -> None:
        assert slots(FOUR) == [Slot(("0",)), Slot(("1",)), Slot(("2",)), Slot(("3",))]

    def test_without_a_gpu_there_is_one_on_the_cpu(self) -> None:
        assert slots([]) == [Slot()]
        assert slots([], slots=2) == [Slot(), Slot()]

    def test_more_slots_than_gpus_share_them(self) -> None:
        assert slots(["4", "5"], slots=3) == [Slot(("4",)), Slot(("5",)), Slot(("4",))]

    def test_gpus_per_job_makes_groups_and_a_rank_for_each_gpu(self) -> None:
        assert slots(FOUR, gpus_per_job=2) == [Slot(("0", "1"), ranks=2), Slot(("2", "3"), ranks=2)]

    def test_more_gpus_per_job_than_there_are_is_refused_with_both_numbers(self) -> None:
        with pytest.raises(devices.TooFewDevices, match="FETTLE_GPUS_PER_JOB=5, but this machine has 4 visible GPUs"):
            slots(FOUR, gpus_per_job=5)
        with pytest.raises(devices.TooFewDevices, match="has 0 visible GPUs"):
            slots([], gpus_per_job=2)

    def test_a_gpu_that_no_slot_has_is_named(self) -> None:
        assert devices.idle(slots(["0", "1", "2"], gpus_per_job=2), ["0", "1", "2"]) == ["2"]
        assert devices.idle(slots(FOUR, slots=1), FOUR) == ["1", "2", "3"]
        assert devices.idle(slots(FOUR), FOUR) == []

    def test_a_slot_says_where_it_runs(self) -> None:
        assert [str(slot) for slot in (Slot(), Slot(("3",)), Slot(("0", "1"), 2))] == ["CPU", "GPU 3", "GPUs 0, 1"]


def test_a_slot_that_shares_its_jobs_with_other_nodes_counts_the_gpus_of_all() -> None:
    slot = Slot(("0", "1"), 2, Gang("10.0.0.5:4711", nodes=3))
    assert slot.gpus == 6
    assert str(slot) == "GPUs 0, 1 of each of 3 nodes"
    assert Slot(("0", "1"), 2).gpus == 2
    assert Gang("10.0.0.5:4711", nodes=3).host == "10.0.0.5"


class TestDoctor:
    async def test_it_says_which_device_each_slot_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
        finding = await host.slots(Settings(gpus_per_job=2))
        assert not finding.ok
        assert not finding.needed
        assert finding.message.startswith("slot 0: GPUs 0, 1; idle: GPU 2 → ")
        finding = await host.slots(Settings())
        assert finding.ok
        assert finding.message == "slot 0: GPU 0, slot 1: GPU 1, slot 2: GPU 2"
