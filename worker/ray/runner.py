"""The actor that Ray starts in a reservation: it runs `worker --once` for one job and gives the reservation back.

It needs nothing from the executor once it exists, so that an executor can end and start again at any time.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping

TAKEN = "FETTLE_WORKER_METRICS_PORT"  # two workers of one node cannot both listen on it


class Runner:
    def __init__(self, job_id: str, environment: Mapping[str, str]) -> None:
        """The worker reads its settings from the environment of the Ray node; `environment` adds to them."""
        given = {name: value for name, value in os.environ.items() if name != TAKEN}
        command = [sys.executable, "-m", "worker", "--once", "--job", job_id]
        self.worker = subprocess.Popen(
            [sys.executable, "-m", "fettle.host.parent_death", *command], env={**given, **environment}
        )
        threading.Thread(target=self.give_back, daemon=True).start()

    def give_back(self) -> None:
        """Removes the reservation, and this actor with it, when the worker has ended."""
        from ray.util import get_current_placement_group, remove_placement_group

        self.worker.wait()
        remove_placement_group(get_current_placement_group())
