"""GPUs of this machine and the slots of its worker: which job sees which device. Nothing here loads torch."""

import os
from dataclasses import dataclass
from pathlib import Path

from fettle.errors import FettleError
from fettle.settings import Settings


class TooFewDevices(FettleError):
    """The settings ask for GPUs that this machine does not show."""


@dataclass(frozen=True)
class Gang:
    """Nodes that train one job together, all with equally many ranks.

    endpoint: HOST:PORT, where the first node meets the others. number: of this node; 0 is the one that claims the job.
    """

    endpoint: str
    nodes: int
    number: int = 0

    @property
    def host(self) -> str:
        return self.endpoint.rpartition(":")[0]


@dataclass(frozen=True)
class Slot:
    """Where one job at a time runs. devices: as CUDA_VISIBLE_DEVICES names them; none: the CPU. ranks: processes.

    gang: the nodes that this machine shares its jobs with; None: no other.
    """

    devices: tuple[str, ...] = ()
    ranks: int = 1
    gang: Gang | None = None

    @property
    def gpus(self) -> int:
        """Of all nodes."""
        return len(self.devices) * (self.gang.nodes if self.gang else 1)

    def __str__(self) -> str:
        if not self.devices:
            return "CPU"
        there = f" of each of {self.gang.nodes} nodes" if self.gang else ""
        return f"{'GPU' if len(self.devices) == 1 else 'GPUs'} {', '.join(self.devices)}{there}"


def visible() -> list[str]:
    """The GPUs that the operator lets us see, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(index) for index, _ in enumerate(sorted(Path("/dev").glob("nvidia[0-9]*")))]


def slots(settings: Settings, found: list[str]) -> list[Slot]:
    """One slot for each group of `gpus_per_job` GPUs, or as many as are set; more slots than groups share them.

    Without a GPU: one slot, on the CPU. Raises TooFewDevices.
    """
    size = settings.gpus_per_job
    if size > max(1, len(found)):
        raise TooFewDevices(
            f"FETTLE_GPUS_PER_JOB={size}, but this machine has {len(found)} visible "
            f"GPU{'' if len(found) == 1 else 's'}. Lower it, or check "
            "CUDA_VISIBLE_DEVICES and `nvidia-smi`."
        )
    groups = [tuple(found[start : start + size]) for start in range(0, len(found) - size + 1, size)] or [()]
    return [Slot(groups[slot % len(groups)], size) for slot in range(settings.slots or len(groups))]


def idle(slots: list[Slot], found: list[str]) -> list[str]:
    """GPUs that no slot has: `gpus_per_job` does not divide their number, or too few slots are set."""
    taken = {device for slot in slots for device in slot.devices}
    return [device for device in found if device not in taken]
