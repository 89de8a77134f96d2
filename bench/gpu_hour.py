"""The first hour on a GPU, in 9 minutes and without anybody: what runs at all, how fast, and with how much memory.

    bench/gpu_hour.sh                        on a machine with a GPU; see there
    GPU_HOUR_DEVICE=cpu bench/gpu_hour.sh    a rehearsal at toy size, on a CPU

Each stage is a process with a time limit of its own; one that fails or takes too long does not stop the next. After
each, $OUT has everything so far: gpu_hour.json, the table gpu_hour.txt, and what each stage printed under logs/.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

TOTAL = 540  # seconds
PATIENCE = 8  # times as long in a rehearsal: its CPU may be busy, and time is not what it shows
SCRATCH_BYTES = 40 << 30  # for the weights of 8 billion parameters, twice while they are written
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes", "flash_attn", "vllm")
Figures = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    name: str
    seconds: int
    command: tuple[str, ...]  # after `python -m`


def stages(scratch: Path) -> tuple[Stage, ...]:
    half, eight = ("--base", str(scratch / "half")), ("--base", str(scratch / "eight"), "--size", "8b")
    return (
        Stage("machine", 30, ("bench.gpu_hour", "--machine")),
        Stage("checks", 150, ("bench.gpu_checks",)),
        Stage("sft_0.5b", 95, ("bench.gpu", "--rounds", "1", "--kinds", "plain", "packed", *half)),
        Stage("grpo_0.5b", 75, ("bench.gpu_grpo", "--steps", "5", "--kinds", "cache", *half)),
        Stage("sft_8b", 100, ("bench.gpu", "--rounds", "1", "--kinds", "plain", "--by", "fettle", *eight)),
        Stage("grpo_8b", 80, ("bench.gpu_grpo", "--steps", "4", "--kinds", "cache", *eight)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/gpu_hour.sh")
    parser.add_argument("--machine", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("stages", nargs="*", help="only these; what $OUT has of the others stays")
    asked = parser.parse_args()
    rehearsal = os.environ.get("GPU_HOUR_DEVICE") == "cpu"
    if asked.machine:
        print(json.dumps(machine()))
        return
    refuse_without_gpu(rehearsal)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the stage that runs ends with this
    out = Path(os.environ.get("OUT") or "gpu-hour").absolute()
    (out / "logs").mkdir(parents=True, exist_ok=True)
    found = earlier(out / "gpu_hour.json") if asked.stages else {}
    with tempfile.TemporaryDirectory(prefix="fettle-gpu-hour-", dir=roomy()) as scratch:
        planned = stages(Path(scratch))
        assert sum(stage.seconds for stage in planned) <= TOTAL
        if unknown := {*asked.stages} - {stage.name for stage in planned}:
            refuse(f"Unknown stage: {', '.join(sorted(unknown))}. Use {', '.join(stage.name for stage in planned)}.")
        for stage in planned:
            if asked.stages and stage.name not in asked.stages:
                continue
            print(f"{stage.name}, up to {stage.seconds} s …", flush=True)
            found[stage.name] = run(stage, out / "logs" / f"{stage.name}.log", rehearsal)
            write(found, out, rehearsal)
    print((out / "gpu_hour.txt").read_text())
    sys.exit(0 if all(each["status"] == "ok" for each in found.values()) else 1)


def refuse_without_gpu(rehearsal: bool) -> None:
    try:
        import numpy  # noqa: F401 — the packages do not bring it
        import torch
    except ImportError as error:
        refuse(f"{error}. Install torch with CUDA, and numpy 2, or use an image that has them.")
    if not rehearsal and not torch.cuda.is_available():
        refuse(
            f"torch {torch.__version__} sees no CUDA GPU. Check nvidia-smi, or rehearse on this CPU with "
            "GPU_HOUR_DEVICE=cpu bench/gpu_hour.sh."
        )
    if rehearsal and torch.cuda.is_available():
        refuse("There is a GPU here. Unset GPU_HOUR_DEVICE, or hide it with CUDA_VISIBLE_DEVICES= for a rehearsal.")


def refuse(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    sys.exit(2)


def earlier(file: Path) -> dict[str, Figures]:
    found: dict[str, Figures] = json.loads(file.read_text())["stages"] if file.is_file() else {}
    return found


def roomy() -> str | None:
    """Memory, where there is enough of it: the disk of a bare host may be slow. None: the usual folder."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > SCRATCH_BYTES else None


def run(stage: Stage, log: Path, rehearsal: bool) -> Figures:
    """status: ok, failed or timed out. figures: the last line that it printed, if that is a JSON object."""
    tiny = ["--tiny"] if rehearsal and "--machine" not in stage.command else []
    limit = stage.seconds * (PATIENCE if rehearsal else 1)
    started = time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *stage.command, *tiny], stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = "failed" if process.wait(limit) else "ok"
        except subprocess.TimeoutExpired:
            status = "timed out"
        finally:
            end_group(process)
    lines = log.read_text(errors="replace").splitlines()
    figures = next((each for each in map(as_object, reversed(lines)) if each is not None), None)
    seconds = round(time.perf_counter() - started, 1)
    if status == "ok" and figures is None:
        status = "failed"  # it ended well and said nothing
    return {"status": status, "seconds": seconds, "limit": limit, "figures": figures, "last_lines": lines[-5:]}


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """With whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def as_object(line: str) -> Figures | None:
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def write(found: dict[str, Figures], out: Path, rehearsal: bool) -> None:
    note = "A rehearsal on a CPU at toy size: it shows that the script runs, and no more.\n\n" if rehearsal else ""
    rows = [f"{'stage':12}{'status':>10}{'seconds':>9}{'limit':>7}"]
    for name, each in found.items():
        rows.append(f"{name:12}{each['status']:>10}{each['seconds']:9.1f}{each['limit']:7}")
        figures = each["figures"] or {}
        rows += [
            f"    {key}: {json.dumps(value) if isinstance(value, dict) else value}" for key, value in figures.items()
        ]
        if each["status"] != "ok":
            rows += [f"    | {line[:200]}" for line in each["last_lines"]]
    (out / "gpu_hour.txt").write_text(note + "\n".join(rows) + "\n")
    (out / "gpu_hour.json").write_text(json.dumps({"rehearsal": rehearsal, "stages": found}, indent=2) + "\n")


def machine() -> Figures:
    import torch

    from fettle.host.memory import machine_memory

    found: Figures = {
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(machine_memory() / 2**30),
        **{name: installed(name) for name in PACKAGES},
    }
    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": device.name,
            "gpus": torch.cuda.device_count(),
            "gpu_memory_gib": round(device.total_memory / 2**30, 1),
            "capability": f"{device.major}.{device.minor}",
            "cuda": torch.version.cuda,
            "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
        }
    return found


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
