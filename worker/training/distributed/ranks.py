"""The processes that train one job together, a GPU each, as one of them sees them: how many, which, in agreement."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist

from fettle.errors import TrainingFailed
from worker.training.process.channel import Flag

Share = TypeVar("Share")


def count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def count_here() -> int:
    """Of this node."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def number() -> int:
    return int(os.environ.get("RANK", "0"))


def first() -> bool:
    """Whether this process is the one that speaks and writes."""
    return number() == 0


def local() -> int:
    """Which of the visible GPUs is this process's."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def wait() -> None:
    """Until every rank is here."""
    if count() > 1:
        dist.barrier()


def replicate(folder: Path) -> None:
    """Brings the first rank's files of a folder to the other nodes. A step that all ranks take together."""
    if count() == count_here():
        wait()
        return
    files = {path.name: path.read_bytes() for path in folder.iterdir()} if first() else {}
    found = gathered([files])[0]
    if local() == 0 and not first():
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in found.items():
            (folder / name).write_bytes(content)
    wait()


def collect(pattern: str, folder: Path) -> None:
    """Brings the files of the other nodes' ranks, named by their number, to the first rank's folder."""
    if count() == count_here():
        return
    name = pattern.format(number())
    for other, content in gathered([(name, (folder / name).read_bytes())]):
        if first() and not (folder / other).exists():
            (folder / other).write_bytes(content)


def share(batch_size: int) -> int:
    """Rows of a batch that one rank takes: `batch_size` is all ranks' together. Raises TrainingFailed."""
    rows, left = divmod(batch_size, count())
    if left:
        raise TrainingFailed(
            "invalid_batch_size",
            f"batch_size={batch_size} cannot be shared evenly by the {count()} GPUs that this worker gives a job: "
            f"choose a multiple of {count()}.",
            "batch_size",
        )
    return rows


def gathered(own: Sequence[Share]) -> list[Share]:
    """Those of all ranks, in the ranks' order, for every rank. A step that all ranks take together."""
    if count() == 1:
        return list(own)
    everyones: list[list[Share]] = [[]] * count()
    dist.all_gather_object(everyones, list(own))
    return [one for part in everyones for one in part]


def add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Puts the sum over all ranks into each of them. A step that all ranks take together."""
    if count() == 1:
        return
    flat_N = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat_N)
    for tensor, summed_N in zip(tensors, torch.split(flat_N, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(summed_N.view_as(tensor))


def turns(shares: Sequence[Share]) -> Iterator[Share | None]:
    """Every n-th of them, for this rank alone; None in a last turn that has some for other ranks only."""
    for first in range(0, len(shares), count()):
        own = first + number()
        yield shares[own] if own < len(shares) else None


class Agreed:
    """A flag that is set for every rank as soon as it is set for one. To read it is a step that all take together."""

    def __init__(self, own: Flag) -> None:
        self.own = own

    def is_set(self) -> bool:
        on_gpu = dist.get_backend() == "nccl"
        anyone = torch.tensor(int(self.own.is_set()), device=torch.device("cuda", local()) if on_gpu else "cpu")
        dist.all_reduce(anyone, dist.ReduceOp.MAX)
        return bool(anyone.item())

    def set(self) -> None:
        self.own.set()


def own(flag: Flag) -> Flag:
    """This rank's flag alone, for what it does without the others."""
    return flag.own if isinstance(flag, Agreed) else flag
