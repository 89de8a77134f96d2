"""The work folder of one job: what the supervisor put there, and where the results go."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle import specs


@dataclass(frozen=True)
class Work:
    folder: Path
    method: str
    hyperparameters: dict[str, Any]  # every `auto` resolved
    seed: int
    base_name: str  # in the catalog
    base_path: Path
    threads: int

    @classmethod
    def read(cls, folder: Path) -> "Work":
        spec = json.loads((folder / "spec.json").read_text())
        method = spec["method"]["type"]
        return cls(
            folder=folder,
            method=method,
            hyperparameters=with_defaults(spec["method"][method]["hyperparameters"]),
            seed=spec["seed"],
            base_name=spec["base_model"]["name"],
            base_path=Path(spec["base_model"]["path"]),
            threads=spec["threads"],
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
        return self._if_there("resume")

    @property
    def start(self) -> Path | None:
        """The adapter that the run goes on from; of a fresh one, none."""
        return self._if_there("start")

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def adapter(self) -> Path:
        return self.out / "adapter"

    @property
    def best(self) -> Path:
        """The adapter of the step with the lowest validation loss so far."""
        return self.folder / "best"

    def _if_there(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.exists() else None


def with_defaults(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """A job that was created by an earlier version lacks what came later."""
    lora = specs.EARLIER_LORA | hyperparameters["lora"]
    return specs.EARLIER | hyperparameters | {"lora": lora}
