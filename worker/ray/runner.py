"""The actors that Ray starts in a reservation. Its first one runs `worker --once` for one job and gives it back.

If several nodes train the job together, a gang, the first actor starts one more on each of them, and these run
`worker.ray.member`. Nothing is needed from the executor, so that it can end and start again at any time.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.util.placement_group import PlacementGroup

TAKEN = "FETTLE_WORKER_METRICS_PORT"  # two workers of one node cannot both listen on it
GRACE_SECONDS = 10.0  # within which a worker notices by itself that another node's ranks have ended


class Runner:
    def __init__(
        self, job_id: str, fence: int, environment: Mapping[str, str], bundle: Mapping[str, float], nodes: int
    ) -> None:
        """fence: of the claim that the worker will make. bundle: what each of the nodes gives."""
        command = ["worker", "--once", "--job", job_id]
        if nodes > 1:
            endpoint = free_endpoint()
            command += ["--nodes", str(nodes), "--endpoint", endpoint]
        self.worker = start(command, environment)
        threading.Thread(target=self.give_back, daemon=True).start()
        if nodes > 1:
            threading.Thread(
                target=self.lead, args=(job_id, fence, environment, bundle, nodes, endpoint), daemon=True
            ).start()

    def lead(
        self,
        job_id: str,
        fence: int,
        environment: Mapping[str, str],
        bundle: Mapping[str, float],
        nodes: int,
        endpoint: str,
    ) -> None:
        """Starts the other nodes; they end with this actor. The death of one that the worker does not see is its own:
        after the loss of a machine its ranks would wait for minutes."""
        import ray
        from ray.util import get_current_placement_group

        group = get_current_placement_group()
        assert group is not None  # noqa: S101 — this actor was started in it
        members: list[Any] = [
            ray.remote(Member).options(**place(group, number, bundle)).remote() for number in range(1, nodes)
        ]
        ends = [
            each.run.remote([job_id, str(fence), endpoint, str(nodes), str(number)], environment)
            for number, each in enumerate(members, start=1)
        ]
        ray.wait(ends)
        try:
            self.worker.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.worker.kill()

    def give_back(self) -> None:
        """Removes the reservation, and all its actors with it, when the worker has ended."""
        from ray.util import get_current_placement_group, remove_placement_group

        self.worker.wait()
        remove_placement_group(get_current_placement_group())


class Member:
    def run(self, arguments: list[str], environment: Mapping[str, str]) -> int:
        return start(["worker.ray.member", *arguments], environment).wait()


def start(command: list[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Reads its settings from the environment of the Ray node; `environment` adds to them."""
    given = {name: value for name, value in os.environ.items() if name != TAKEN}
    run = [sys.executable, "-m", "fettle.host.parent_death", sys.executable, "-m", *command]
    return subprocess.Popen(run, env={**given, **environment})


def place(group: "PlacementGroup", number: int, bundle: Mapping[str, float]) -> dict[str, Any]:
    """Options of an actor that takes all of one bundle, and is not started again."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    other = {name: share for name, share in bundle.items() if name not in ("CPU", "GPU")}
    return {
        "num_cpus": bundle["CPU"],
        "num_gpus": bundle.get("GPU", 0),
        "resources": other,
        "scheduling_strategy": PlacementGroupSchedulingStrategy(group, number),
        "max_restarts": 0,
    }


def free_endpoint() -> str:
    """On this node, for the others to reach."""
    from ray.util import get_node_ip_address

    host = get_node_ip_address()
    with socket.create_server((host, 0)) as probe:
        return f"{host}:{probe.getsockname()[1]}"
