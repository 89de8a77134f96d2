"""torchrun's agent, run inside the training child: starts the ranks of one job, and ends them together.

The child becomes the agent (`torch.distributed.run`'s own, without restarts) and starts the ranks in its process group,
so that whoever kills the group reaches all. On one machine the rendezvous is on the loopback interface; in a gang each
node has an agent, and all meet at the first. Rank 0 alone speaks to the supervisor and writes; the death of any rank
ends all. A rank that fails leaves a note, and the agent passes on the one that is a cause: a rank that lost another
only has a consequence to tell.
"""

import json
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from fettle.host import routes
from fettle.host.devices import Gang
from fettle.host.parent_death import die_with_parent
from worker.training.distributed import ranks
from worker.training.process.channel import LOST_RANK, SocketChannel
from worker.training.process.job_spec import Work

PATIENCE = 2  # seconds that the other ranks get once one is dead
MEETING_SECONDS = (
    3600  # within which the nodes of a gang must have fetched the job's files; who watches them ends it sooner
)
LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


def launch(folder: Path, sock: socket.socket, number: int, gang: Gang | None = None) -> None:
    """Starts this node's ranks and waits for their end. Exits the process unless all end well."""
    address = routes.own_address(gang.host) if gang else "127.0.0.1"
    # One machine's ranks have no business on another interface; an operator's own choice wins
    interface = routes.interface(address) if gang else LOOPBACK
    if interface is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)
    nodes = gang.nodes if gang else 1
    config = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=number,
        run_id=folder.name,
        rdzv_backend="static" if gang else "c10d",
        rdzv_endpoint=gang.endpoint if gang else "127.0.0.1:0",
        rdzv_configs={"rank": gang.number, "timeout": MEETING_SECONDS} if gang else {},
        local_addr=address,
        max_restarts=0,  # the supervisor's attempts are the ones that count
        start_method=start_method(),
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "ranks")),
        shutdown_timeout=PATIENCE,
    )
    try:
        elastic_launch(config, rank_main)(str(folder), sock)
    except Exception:  # torch has no narrower one for a rank that ended
        traceback.print_exc()
        for note in sorted(folder.glob("failure-*.json")):
            SocketChannel(sock).conclude("error", **json.loads(note.read_text()))
            sys.exit(1)
        sys.exit(LOST_RANK)


def start_method() -> str:
    """A fork saves a rank the 5 s of CPU time that it takes to load the libraries; CUDA does not survive one."""
    if torch.cuda.is_available():  # the agent looks for it as well
        return "spawn"
    import worker.training.process.preload  # noqa: F401 — once, for all ranks

    return "fork"


def rank_main(folder: str, sock: socket.socket) -> None:
    """One rank. Exits with status 1 when it fails."""
    die_with_parent()
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(sign, signal.SIG_DFL)  # a forked rank has the agent's
    import worker.training.process.preload  # noqa: F401 — first: it sets what the libraries read when they are imported
    from worker.training import loop
    from worker.training.process import failures

    if not ranks.first():
        sock.close()
    channel = SocketChannel(sock if ranks.first() else None)
    channel.stop = ranks.Agreed(threading.Event() if channel.sock is None else channel.stop)
    try:
        loop.run(Work.read(Path(folder)), channel)
        dist.destroy_process_group()
    except Exception as error:  # `failures` says what it is
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
