"""A published adapter, loaded anew by whom did not train it: what it makes of the probe rows.

The supervisor puts `verify.json` and the adapters, as storage gave them back, into the work folder.
"""

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import set_seed

from worker.training import probe
from worker.training.model import device, loading
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work

REQUEST = "verify.json"


def run(work: Work, channel: Channel) -> None:
    """Sends `verified` last, with an entry for each adapter. Raises whatever the libraries raise."""
    torch.set_num_threads(max(1, work.threads))
    asked = json.loads((work.folder / REQUEST).read_text())
    channel.conclude("verified", results=[measured(work, **each) for each in asked["adapters"]])


def measured(work: Work, folder: str, rows: list[list[int]], scores: bool, quantization: str | None) -> dict[str, Any]:
    """quantization: of the base that the adapter was trained on."""
    plan = device.plan(work, 1)
    set_seed(work.seed)  # as in training: the head of an untrained reward model is random
    load = loading.quantized if quantization else loading.base_model
    base = load(work.base_path, plan, scores=scores)
    if plan.on_gpu and not quantization:
        base.to("cuda")  # type: ignore[arg-type] # of torch's overloads
    network = PeftModel.from_pretrained(base, str(Path(work.folder) / folder))
    found = probe.measure(network, rows, scores=scores, bf16=plan.precision == "bf16")
    del network, base
    device.release()
    return {**found, "precision": plan.precision}
