"""Memory of this machine and of its GPUs, in bytes. Nothing here loads torch."""

import os
import subprocess
from pathlib import Path

from fettle.host.devices import Slot

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
QUERY = ("nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits")
SECONDS = 10


def machine_memory(limit: Path = CGROUP_LIMIT) -> int:
    """What the machine has, or what the container may use of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdigit() else total


def of_slots(slots: list[Slot]) -> list[int | None]:
    """What each slot can use of its device, or of its smallest; None: not known. Slots on one device share it."""
    gpus = gpu_memory() if any(slot.devices for slot in slots) else {}
    found: list[int | None] = []
    for slot in slots:
        sharing = sum(other.devices == slot.devices for other in slots)
        sizes = [gpus.get(name) for name in slot.devices] or [machine_memory()]
        known = [size for size in sizes if size is not None]
        found.append(min(known) // sharing if len(known) == len(sizes) else None)
    return found


def gpu_memory() -> dict[str, int]:
    """Of each GPU, by its index and by its UUID; empty where nvidia-smi does not say."""
    try:
        said = subprocess.run(QUERY, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return read(said)


def read(said: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in said.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[2].isdigit():
            found |= dict.fromkeys(parts[:2], int(parts[2]) << 20)
    return found
