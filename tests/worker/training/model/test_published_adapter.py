"""The configuration of an adapter as it leaves the worker."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker.training.model import adapter
from worker.training.process.job_spec import Work

pytestmark = pytest.mark.slow  # loads transformers

REVISION = "c" * 40


@pytest.mark.parametrize(
    ("base", "named"),
    [
        ({"name": "qwen", "hub": "Qwen/Qwen3-0.6B", "revision": REVISION}, ("Qwen/Qwen3-0.6B", REVISION)),
        ({"name": "starter", "hub": None, "revision": None}, ("starter", None)),
        ({"name": "starter"}, ("starter", None)),  # a job that an earlier version made
    ],
)
def test_it_names_the_base_as_the_hub_does(base: dict[str, Any], named: tuple[str, str | None], tmp_path: Path) -> None:
    method = {"type": "supervised", "supervised": {"hyperparameters": {"lora": {}}}}
    spec = {"method": method, "seed": 1, "base_model": {**base, "path": "/models/base"}, "threads": 1}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/models/base", "r": 8}))
    adapter.tidy(folder, Work.read(tmp_path))
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"], config["r"]) == (*named, 8)
