"""Several processes that train one job together, a GPU each: torchrun's agent, run inside the training child.

The child becomes the agent (`torch.distributed.run`'s own, standalone: one machine, rendezvous on the loopback
interface, no restarts) and starts the ranks as fresh processes in its process group, so that whoever kills the group
reaches all. Rank 0 alone speaks to the supervisor and writes; the death of any rank ends all. A rank that fails
leaves a note, and the agent passes on the one that is a cause: a rank that lost another only has a consequence to tell.
"""

import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist

from fettle.errors import TrainingFailed
from worker.training import lifeline
from worker.training.channel import LOST_RANK, Channel, Flag
from worker.training.work import Work

PATIENCE = 2  # seconds that the other ranks get once one is dead
Share = TypeVar("Share")
LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


def count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


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


def launch(folder: Path, sock: socket.socket, number: int) -> None:
    """Starts the ranks and waits for their end. Exits the process unless all end well."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # One machine's ranks have no business on another interface; an operator's own choice wins
    os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", LOOPBACK)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=number,
        run_id=folder.parent.name,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,  # the supervisor's attempts are the ones that count
        start_method="spawn",  # the agent looks for CUDA, which does not survive a fork
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "ranks")),
        shutdown_timeout=PATIENCE,
    )
    try:
        elastic_launch(config, rank_main)(str(folder), sock)
    except Exception:
        traceback.print_exc()
        for note in sorted(folder.glob("failure-*.json")):
            Channel(sock).conclude("error", **json.loads(note.read_text()))
            sys.exit(1)
        sys.exit(LOST_RANK)


def rank_main(folder: str, sock: socket.socket) -> None:
    """One rank. Exits with status 1 when it fails."""
    lifeline.tie()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    import worker.training.preload  # noqa: F401
    from worker.training import failures, loop

    if not first():
        sock.close()
    channel = Channel(sock if first() else None)
    channel.stop = Agreed(threading.Event() if channel.sock is None else channel.stop)
    try:
        loop.run(Work.read(Path(folder)), channel)
        dist.destroy_process_group()
    except Exception as error:
        traceback.print_exc()
        if not lost_another(error):
            failure = failures.explain(error)
            note = {"code": failure.code, "message": failure.message, "param": failure.param}
            (Path(folder) / f"failure-{os.environ['RANK']}.json").write_text(json.dumps(note))
        sys.stderr.flush()
        os._exit(1)  # a normal end would wait for what the other ranks still owe


def lost_another(error: BaseException) -> bool:
    """Whether it tells of another rank's death and not of a trouble of this one's."""
    text = str(error)
    return isinstance(error, dist.DistError) or any(
        name in text for name in ("gloo", "NCCL", "Connection closed by peer")
    )
