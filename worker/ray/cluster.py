"""What an executor asks of Ray. Every function waits for Ray; call it from a thread.

Groups and actors are detached and have names, so that they outlive the executor and are found again. The names begin
with a digest of the database, because two installations may share one cluster.
"""

import hashlib
import logging
import math
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from fettle.errors import FettleError
from fettle.jobs.placement import Candidate
from fettle.settings import Settings
from worker.ray.plan import Group
from worker.ray.runner import Runner, place

if TYPE_CHECKING:
    from ray.util.placement_group import PlacementGroup

NAMESPACE = "fettle"
LABEL_SHARE = 0.001  # of a node's resource that is named like a label: a thousand jobs fit beside one another
ANSWER_SECONDS = 5.0
OPEN = {"PENDING", "PREPARED", "CREATED", "RESCHEDULING"}  # Ray keeps showing groups that were removed


class RayUnavailable(FettleError):
    """Ray is not installed, or no cluster answers at the address."""


@dataclass(frozen=True)
class Cluster:
    """prefix: of every name of this installation."""

    settings: Settings
    prefix: str

    def groups(self) -> list[Group]:
        import ray

        running = set(ray.util.list_named_actors())  # first: one that ends meanwhile takes its group with it
        found = []
        for row in ray.util.placement_group_table().values():
            name, state = row["name"], row["state"]
            if state in OPEN and name.startswith(self.prefix):
                job_id, fence = name.removeprefix(self.prefix).split("/")
                infeasible = state == "PENDING" and row["stats"]["scheduling_state"] == "INFEASIBLE"
                found.append(
                    Group(
                        id=row["placement_group_id"],
                        job_id=job_id,
                        fence=int(fence),
                        reserved=state == "CREATED",
                        running=name in running,
                        infeasible=infeasible,
                    )
                )
        return found

    def reserve(self, job: Candidate, fence: int) -> None:
        """Asks for all that the job needs, together. Another executor may have asked already."""
        import ray

        name = f"{self.prefix}{job.id}/{fence}"
        try:
            ray.util.placement_group([self.bundle(job)] * self.nodes(job), "PACK", name=name, lifetime="detached")
        except ray.exceptions.RaySystemError as error:
            if "already exists" not in str(error):
                raise

    def withdraw(self, group: Group) -> None:
        """Whatever runs in the group gets SIGTERM."""
        import ray

        ray.util.remove_placement_group(self.handle(group))

    def start(self, group: Group, job: Candidate) -> None:
        """Starts the worker in the group, unless one is there."""
        import ray

        bundle = self.bundle(job)
        environment = {
            "FETTLE_SLOTS": "1",
            "FETTLE_GPUS_PER_JOB": str(int(bundle.get("GPU", 1))),
            "FETTLE_THREADS": str(int(bundle["CPU"])),
            "FETTLE_WORKER_LABELS": ",".join(sorted(job.need.labels)),
        }
        ray.remote(Runner).options(
            name=f"{self.prefix}{group.job_id}/{group.fence}",
            get_if_exists=True,
            lifetime="detached",
            **place(self.handle(group), 0, bundle),
        ).remote(group.job_id, group.fence + 1, environment, bundle, self.nodes(job))

    def gpus(self, job: Candidate) -> int:
        return self.settings.ray_gpus if job.need.gpus is None else job.need.gpus

    def nodes(self, job: Candidate) -> int:
        """As few as can hold the job; all get equally many GPUs."""
        return max(1, math.ceil(self.gpus(job) / (self.settings.ray_node_gpus or math.inf)))

    def bundle(self, job: Candidate) -> dict[str, float]:
        """What each node has to give."""
        gpus = math.ceil(self.gpus(job) / self.nodes(job))
        share = dict.fromkeys(sorted(job.need.labels), LABEL_SHARE)
        return {"CPU": float(self.settings.threads or 1), **({"GPU": float(gpus)} if gpus else {}), **share}

    def handle(self, group: Group) -> "PlacementGroup":
        from ray import PlacementGroupID
        from ray.util.placement_group import PlacementGroup

        return PlacementGroup(PlacementGroupID(bytes.fromhex(group.id)))


def connect(settings: Settings) -> Cluster:
    """Raises RayUnavailable. Ray takes over SIGTERM here: whoever handles it does so afterwards."""
    try:
        import ray
        from ray._private.services import canonicalize_bootstrap_address_or_die
    except ImportError as error:
        raise RayUnavailable("FETTLE_EXECUTOR=ray needs Ray. Install it: pip install 'fettle[ray]'.") from error
    try:
        address = canonicalize_bootstrap_address_or_die(settings.ray_address)
        answers(address)
        ray.init(
            address,
            namespace=NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.WARNING,
        )
    except (OSError, ValueError) as error:
        raise RayUnavailable(
            f"No Ray cluster answers at FETTLE_RAY_ADDRESS={settings.ray_address}. Check HOST:PORT, or start one with "
            "`ray start --head`."
        ) from error
    where = make_url(settings.database)
    installation = f"{where.host}:{where.port}/{where.database}"
    return Cluster(settings, f"{hashlib.sha256(installation.encode()).hexdigest()[:12]}/")


def answers(address: str) -> None:
    """Raises OSError. Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
