"""What only a GPU can show of training and of the engine: each check prints one line, and all of them run.

    python -m bench.gpu_checks           on the first visible GPU; about 2 minutes
    python -m bench.gpu_checks --tiny    a rehearsal at toy size; uses a CPU if there is no GPU

bf16 against float32, TRL's fused LM head, gradient checkpointing, nf4, two jobs on one GPU, a stop and a kill that
give the memory back, and a job that finds no memory. The last line is a JSON object; the exit status is 1 if a check
failed.
"""

import argparse
import dataclasses
import json
import multiprocessing
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import _child, gpu
from bench._gpu_shapes import HALF_BILLION, TINY, Size, make_base
from fettle.registry.catalog import STARTER

BF16 = 0.1  # of a log-probability
SHAPES = 0.02  # relative, of a loss whose products have other shapes
NF4 = 0.15  # relative, of a loss
GIVEN_BACK = 256 << 20  # bytes that may still be in use
LEFT = 1 << 30  # bytes of the GPU for the job that finds no memory
END_SECONDS = 60
Figures = dict[str, Any]
Setting = tuple[Path, Size]  # folder with the base and its rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_checks")
    parser.add_argument("--tiny", action="store_true", help="toy size; uses a CPU if there is no GPU")
    asked = parser.parse_args()
    size = dataclasses.replace(TINY if asked.tiny else HALF_BILLION, batch_size=4 if asked.tiny else 8, steps=4)
    print(gpu.setting(size, asked.tiny).split(", batches")[0], flush=True)
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as name:
        folder = Path(name)
        make_base(folder / "base", size)
        gpu.write_rows(folder / "train.jsonl", size)
        for check in CHECKS:
            started = time.perf_counter()
            try:
                figures = {"passed": True, **check((folder, size))}
            except Exception as error:  # the next check may pass
                traceback.print_exc()
                figures = {"passed": False, "error": f"{type(error).__name__}: {error}"[:500]}
            found[check.__name__] = figures | {"seconds": round(time.perf_counter() - started, 1)}
            print(check.__name__, json.dumps(found[check.__name__]), flush=True)
    print(json.dumps(found))
    sys.exit(0 if all(each["passed"] for each in found.values()) else 1)


def engine_in_bf16(_: Setting) -> Figures:
    """The engine on the starter: log-probabilities against float32 on the CPU, and a warm prompt against a cold one."""
    import torch
    from transformers import AutoModelForCausalLM

    from fettle.datasets.formats.render import Renderer
    from worker.engine.networks import Network
    from worker.engine.prefill import Prefill
    from worker.engine.requests import Base, Request, Sampling
    from worker.engine.vocabulary import Vocabulary

    renderer, nowhere = Renderer(STARTER), frozenset[int]()
    base = Base("starter", STARTER, 2048, renderer, nowhere, Vocabulary(renderer, nowhere))
    network = Network(base, cpu_bf16=True)
    exact = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32).eval()
    text = "Tom has 12 apples and 30 pears. " * 12
    prompt = base.renderer.prompt([{"role": "user", "content": text + "How many apples?"}])

    def log_probabilities() -> tuple[torch.Tensor, int]:
        request = Request(base, None, prompt, Sampling(1, 0.0, 1.0, None, 1, ()), salt="bench")
        prefill = Prefill(network, [request])
        while not prefill.advance(4096):
            pass
        assert prefill.logits_PV is not None
        return prefill.logits_PV[0].cpu().log_softmax(-1), request.cached

    with torch.inference_mode():
        wanted_V = exact(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
    cold_V, nothing = log_probabilities()
    warm_V, cached = log_probabilities()
    likely = wanted_V > -5
    figures = {
        "dtype": str(network.dtype).removeprefix("torch."),
        "off_by": round((cold_V - wanted_V)[likely].abs().max().item(), 4),
        "warm_off_by": round((warm_V - cold_V)[likely].abs().max().item(), 4),
        "cached_tokens": cached,
    }
    assert nothing == 0 < cached, figures
    assert max(figures["off_by"], figures["warm_off_by"]) <= BF16, figures
    return figures


def fused_lm_head(_: Setting) -> Figures:
    """Loss and gradients against those from whole logits."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from worker.training.model import lm_head

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(7)
    ids_BT = torch.arange(3, 43, device=device).reshape(2, 20)
    labels_BT = torch.where(torch.arange(20, device=device) > 12, ids_BT, -100)
    plain = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32).to(device)
    config = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    network = get_peft_model(plain, config)

    def learned(**options: Any) -> tuple[float, torch.Tensor]:
        network.zero_grad()
        loss = network(input_ids=ids_BT, labels=labels_BT, use_cache=False, **options).loss
        loss.backward()
        return loss.item(), torch.cat([each.grad.flatten() for each in network.parameters() if each.grad is not None])

    whole, whole_D = learned()
    with lm_head.in_tiles(plain, temperature=1.0):
        tiled, tiled_D = learned(fused_lm_head=True)
    figures = {
        "loss_off_by": abs(tiled / whole - 1),
        "gradient_off_by": ((tiled_D - whole_D).norm() / whole_D.norm()).item(),
    }
    assert figures["loss_off_by"] < 1e-3 and figures["gradient_off_by"] < 1e-2, figures
    return figures


def gradient_checkpointing(setting: Setting) -> Figures:
    return {"off_by": apart(losses(setting, "off"), losses(setting, "on"), SHAPES)}


def nf4(setting: Setting) -> Figures:
    return {"off_by": apart(losses(setting, "off")[:1], losses(setting, "off", quantization="nf4")[:1], NF4)}


def losses(setting: Setting, checkpointing: str, **asked: Any) -> list[float]:
    """Of each step, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(train, (setting, checkpointing, asked))


def train(setting: Setting, checkpointing: str, asked: dict[str, Any]) -> list[float]:
    import worker.training.process.preload  # noqa: F401 — first: it sets what the libraries read
    from worker.training.model import device

    folder, size = setting
    choose, chosen = device.choose, []

    def forced(*given: Any) -> Any:
        chosen.append(dataclasses.replace(choose(*given), gradient_checkpointing=checkpointing == "on"))
        return chosen[-1]

    device.choose = forced
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    hyperparameters = {**gpu.hyperparameters("plain", size), **asked}
    found = _child.run("supervised", rows, hyperparameters, base=folder / "base")["steps"]
    assert chosen  # else nothing was forced
    return [step["train_loss"] for step in found if "train_loss" in step]


def apart(mine: list[float], theirs: list[float], tolerance: float) -> float:
    """The largest relative difference."""
    assert len(mine) == len(theirs) > 0, (mine, theirs)
    found = max(abs(a / b - 1) for a, b in zip(mine, theirs, strict=True))
    assert found <= tolerance, (mine, theirs)
    return round(found, 5)


class Job:
    """A training process as a supervisor starts it."""

    def __init__(self, setting: Setting) -> None:
        folder, size = setting
        work = gpu.work_of("plain", folder, size)
        self.ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "worker.training", str(work.folder), str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self.lines = (json.loads(line) for line in self.ours.makefile("rb"))

    def until(self, type: str) -> dict[str, Any]:
        return next(line for line in self.lines if line["type"] == type)

    def rest(self) -> list[dict[str, Any]]:
        try:
            lines = [*self.lines]
            self.process.wait(END_SECONDS)
            return lines
        finally:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.ours.close()


def two_jobs_on_one_device(setting: Setting) -> Figures:
    alone = ended(Job(setting))
    both = [Job(setting), Job(setting)]
    return {"off_by": max(apart(alone, ended(job), SHAPES) for job in both)}


def ended(job: Job) -> list[float]:
    lines = job.rest()
    assert lines[-1]["type"] == "done", lines[-1]
    return [line["data"]["train_loss"] for line in lines if line["type"] == "metrics" and "train_loss" in line["data"]]


def a_stop_and_a_kill_give_the_memory_back(setting: Setting) -> Figures:
    before = free()
    job = Job(setting)
    job.until("metrics")
    started = time.perf_counter()
    job.ours.sendall(b'{"type": "stop"}\n')
    last = job.rest()[-1]
    seconds = time.perf_counter() - started
    assert last["type"] == "stopped", last
    after_stop = before - free()
    job = Job(setting)
    job.until("metrics")
    job.kill()
    after_kill = before - free()
    assert max(after_stop, after_kill) < GIVEN_BACK, (after_stop, after_kill)
    return {"seconds_to_stop": round(seconds, 1), "still_in_use_bytes": max(after_stop, after_kill, 0)}


def free() -> int:
    """Bytes of the GPU; 0 where there is none."""
    import torch

    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 0


def without_memory_the_job_says_so(setting: Setting) -> Figures:
    """On a CPU the exception is made by hand."""
    import torch

    from worker.training.process import failures

    if not torch.cuda.is_available():
        failure = failures.explain(torch.OutOfMemoryError("made by hand"))
        said = {"code": failure.code, "message": failure.message}
    else:
        torch.cuda.empty_cache()
        taken = torch.empty(max(0, free() - LEFT), dtype=torch.uint8, device="cuda")
        said = Job(setting).rest()[-1]
        del taken
        torch.cuda.empty_cache()
    assert said.get("code") == "out_of_memory", said
    return {"message": said["message"], "made_by_hand": not torch.cuda.is_available()}


CHECKS: tuple[Callable[[Setting], Figures], ...] = (
    engine_in_bf16,
    fused_lm_head,
    gradient_checkpointing,
    nf4,
    two_jobs_on_one_device,
    a_stop_and_a_kill_give_the_memory_back,
    without_memory_the_job_says_so,
)

if __name__ == "__main__":
    main()
