"""Memory of slots: shared by those on one device, and not made up where nvidia-smi is silent."""

import pytest

from fettle.host import memory
from fettle.host.devices import Slot

GIB = 1 << 30


def test_slots_of_the_cpu_share_the_machine() -> None:
    (whole,) = memory.of_slots([Slot()])
    assert whole == memory.machine_memory() > 0
    assert memory.of_slots([Slot(), Slot()]) == [whole // 2, whole // 2]


def test_nvidia_smis_table_is_read_by_index_and_by_uuid() -> None:
    assert memory.read("0, GPU-a, 81559\n1, GPU-b, [N/A]\nnonsense\n") == dict.fromkeys(("0", "GPU-a"), 81559 << 20)


def test_a_group_of_gpus_is_as_large_as_its_smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "gpu_memory", lambda: {"0": 80 * GIB, "1": 40 * GIB})
    assert memory.of_slots([Slot(("0", "1"), 2)]) == [40 * GIB]
    assert memory.of_slots([Slot(("0",)), Slot(("0",))]) == [40 * GIB, 40 * GIB]
    assert memory.of_slots([Slot(("0",)), Slot(("7",))]) == [80 * GIB, None]


def test_without_nvidia_smi_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "QUERY", ("no-such-program",))
    assert memory.of_slots([Slot(("0",))]) == [None]
