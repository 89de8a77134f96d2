"""The work folder of one job: what the supervisor put there, and where the results go."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fettle import methods


@dataclass(frozen=True)
class Work:
    """options: what the method has beside its hyperparameters. phase: of a job that has several; each has its own
    checkpoints and results. goes_on: it resumes from the checkpoint that there is. fresh: it begins with a new adapter,
    whatever the job goes on from.
    """

    folder: Path
    method: str
    hyperparameters: dict[str, Any]  # every `auto` resolved
    seed: int
    base_name: str  # in the catalog
    base_path: Path
    threads: int
    cpu_bf16: bool = False  # a CPU computes in bf16 instead of fp32
    options: dict[str, Any] = field(default_factory=dict)
    phase: str = ""
    goes_on: bool = True
    fresh: bool = False
    hub: str | None = None  # id of the base model there
    revision: str | None = None  # of it
    resolved_from: dict[str, Any] | None = None  # of `auto`; None for a job that an earlier version made

    @classmethod
    def read(cls, folder: Path) -> "Work":
        spec = json.loads((folder / "spec.json").read_text())
        method = spec["method"]["type"]
        options = dict(spec["method"][method])
        return cls(
            folder=folder,
            method=method,
            hyperparameters=with_defaults(options.pop("hyperparameters")),
            seed=spec["seed"],
            base_name=spec["base_model"]["name"],
            base_path=Path(spec["base_model"]["path"]),
            threads=spec["threads"],
            cpu_bf16=spec.get("cpu_bf16", False),
            hub=spec["base_model"].get("hub"),
            revision=spec["base_model"].get("revision"),
            options=options,
            resolved_from=spec["method"].get("resolved_from"),
        )

    @property
    def train(self) -> Path:
        return self.folder / "train"

    @property
    def valid(self) -> Path | None:
        return self._if_there("valid")

    @property
    def resume(self) -> Path | None:
        """The files of the checkpoint to go on from."""
        return self._if_there("resume") if self.goes_on else None

    @property
    def start(self) -> Path | None:
        """The adapter that the run goes on from; of a fresh one, none."""
        return None if self.fresh else self._if_there("start")

    @property
    def reward_model(self) -> Path | None:
        """The adapter of the reward model that the job was given."""
        return self._if_there("reward_model")

    @property
    def out(self) -> Path:
        return self.folder / "out" / self.phase

    @property
    def adapter(self) -> Path:
        return self.out / "adapter"

    @property
    def best(self) -> Path:
        """The adapter of the step with the lowest validation loss so far."""
        return self.folder / "best" / self.phase

    def _if_there(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.exists() else None


def with_defaults(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """A job that was created by an earlier version lacks what came later."""
    lora = methods.EARLIER_LORA | hyperparameters["lora"]
    return methods.EARLIER | hyperparameters | {"lora": lora}
