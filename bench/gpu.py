"""Training on a GPU: tokens per second, memory, and the training child's code against a bare TRL script on equal rows.

    python -m bench.gpu              on the first visible GPU; about 10 minutes
    python -m bench.gpu --size 8b    the shape of an 8 B model
    python -m bench.gpu --tiny       a rehearsal at toy size; uses a CPU if there is no GPU

The base model has the shape of Qwen2.5-0.5B and random weights, made here in a temporary folder: nothing is fetched.
No database, queue or storage takes part. Needs torch, transformers, trl, peft, datasets, orjson and pydantic in the
versions of constraints.txt, and bitsandbytes for the nf4 rows. Each run is a process of its own; the runs of a round
take turns, and figures are medians over rounds, of all steps but the first few, which compile kernels.
"""

import argparse
import importlib.util
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from bench._gpu_shapes import SEED, SIZES, Size, make_base, planned, utilisation
from examples.word_problems import problems

RANK, RATE = 16, 2e-4

KINDS: dict[str, dict[str, Any]] = {"plain": {}, "packed": {"packing": True}, "nf4": {"quantization": "nf4"}}
BY = ("fettle", "trl")
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu")
    parser.add_argument("--tiny", action="store_true", help="toy size; uses a CPU if there is no GPU")
    parser.add_argument("--size", choices=[*SIZES], default="0.5b")
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS], default=[*KINDS])
    parser.add_argument("--by", nargs="+", choices=BY, default=BY)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--base", type=Path, help="a folder for the base model, which stays; what lies there is used")
    parser.add_argument("--run", nargs=3, metavar=("BY", "KIND", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    name = "tiny" if asked.tiny else asked.size
    size = SIZES[name]
    if asked.run:
        by, kind, folder = asked.run
        print(json.dumps({"fettle": through_the_child, "trl": bare}[by](kind, Path(folder), size)))
        return
    print(setting(size, asked.tiny), flush=True)
    kinds = [kind for kind in asked.kinds if kind != "nf4" or importlib.util.find_spec("bitsandbytes")]
    found: dict[tuple[str, str], list[Figures]] = {(kind, by): [] for kind in kinds for by in asked.by}
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        if asked.base:
            asked.base.mkdir(parents=True, exist_ok=True)
            (Path(folder) / "base").symlink_to(asked.base.absolute())
        make_base(Path(folder) / "base", size)
        write_rows(Path(folder) / "train.jsonl", size)
        for turn in range(asked.rounds or size.rounds):
            for kind, by in sorted(found, key=lambda run: random.Random(f"{turn}{run}").random()):
                found[kind, by].append(run_alone(by, kind, Path(folder), name))
    report(found, kinds, size)


def setting(size: Size, tiny: bool) -> str:
    import torch

    on_gpu = torch.cuda.is_available()
    if not on_gpu and not tiny:
        sys.exit("No GPU is visible: `python -m bench.gpu --tiny` rehearses this script on the CPU.")
    where = torch.cuda.get_device_name() if on_gpu else "CPU"
    note = "" if on_gpu else ". A rehearsal on the CPU: it shows that the script runs, and no more"
    return f"{where}, torch {torch.__version__}, batches of {size.batch_size} rows, {size.steps} steps{note}"


def write_rows(path: Path, size: Size) -> None:
    """Chats of 1 to `turns` questions, as uneven as people's are; exactly one epoch of `steps` unpacked batches."""
    source, rng = problems("train", seed=SEED), random.Random(SEED)
    with path.open("w") as file:
        for _ in range(size.batch_size * size.steps):
            messages = []
            for problem in islice(source, rng.randint(1, size.turns)):
                row = problem.row("reasoned")
                messages.append({"role": "user", "content": row["prompt"]})
                messages.append({"role": "assistant", "content": row["completion"]})
            file.write(json.dumps({"messages": messages}) + "\n")


def run_alone(by: str, kind: str, folder: Path, size: str) -> Figures:
    command = [sys.executable, "-m", "bench.gpu", "--run", by, kind, str(folder), "--size", size]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{kind} by {by} ended with status {ended.returncode}:\n{ended.stderr[-4000:]}")
    figures: Figures = json.loads(ended.stdout.splitlines()[-1])
    print(f"  {kind:7}{by:7}{figures['tokens_per_second']:>12,.0f} tokens/s", flush=True)
    return figures


def hyperparameters(kind: str, size: Size) -> dict[str, Any]:
    return {
        "n_epochs": 1,
        # packed: blocks, of which each holds several rows
        "batch_size": max(1, size.batch_size // 4) if kind == "packed" else size.batch_size,
        "learning_rate": RATE,
        "max_seq_length": size.max_seq_length,
        "lora": {"rank": RANK, "alpha": 2 * RANK, "dropout": 0.0},
        **KINDS[kind],
    }


def work_of(kind: str, folder: Path, size: Size) -> Any:
    """What the supervisor would put into a child's folder."""
    from worker.training.process.job_spec import Work

    mine = folder / f"{kind}-{time.time_ns()}"
    (mine / "out").mkdir(parents=True)
    (mine / "train").symlink_to(folder / "train.jsonl")
    spec = {
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters(kind, size)}},
        "seed": SEED,
        "base_model": {"name": "bench", "path": str(folder / "base")},
        "threads": 1,
    }
    (mine / "spec.json").write_text(json.dumps(spec))
    return Work.read(mine)


def through_the_child(kind: str, folder: Path, size: Size) -> Figures:
    """The code that a job runs, from its work folder to its adapter; a thread listens in place of the supervisor."""
    import worker.training.process.preload  # noqa: F401 — first: it sets what the libraries read when they are imported
    from worker.training import loop
    from worker.training.model import device
    from worker.training.process.channel import SocketChannel

    ours, theirs = socket.socketpair()
    heard: list[tuple[float, dict[str, Any]]] = []

    def listen() -> None:
        for line in ours.makefile("rb"):
            heard.append((time.perf_counter(), json.loads(line)))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    loop.run(work_of(kind, folder, size), SocketChannel(theirs))
    theirs.shutdown(socket.SHUT_WR)
    listener.join()
    steps = [(moment, line["data"]) for moment, line in heard if line["type"] == "metrics"]
    (plan,) = [line["message"] for _, line in heard if line["type"] == "event" and "Device: " in line["message"]]
    return {
        "tokens_per_second": pace([(moment, data["tokens"]) for moment, data in steps], size),
        "losses": [data["train_loss"] for _, data in steps],
        "plan": plan.removeprefix("Device: "),
        **about_device(folder / "base", size, kind),
        **device.peaks(),
    }


def bare(kind: str, folder: Path, size: Size) -> Figures:
    """What a user of TRL would write: its own collator, packing and schedule, on rows that are tokenised already."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    import worker.training.process.preload  # noqa: F401 — quiet libraries, for both
    from fettle.datasets.formats.render import Renderer
    from worker.training import arguments
    from worker.training.data import supervised
    from worker.training.model import device

    work = work_of(kind, folder, size)
    batch_size = work.hyperparameters["batch_size"]
    at_once = arguments.rows_at_once(batch_size)
    plan = device.plan(work, at_once)
    rows = supervised.read(work.train, Renderer(work.base_path), size.max_seq_length, "training_file").dataset
    seen: list[tuple[float, int]] = []
    losses: list[float] = []

    class Clock(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:
                seen.append((time.perf_counter(), state.num_input_tokens_seen))
                losses.append(logs["loss"])

    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=plan.dtype,
    )
    options = {"quantization_config": quantization, "device_map": {"": 0 if plan.on_gpu else "cpu"}}
    set_seed(SEED)
    SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            work.base_path, dtype=plan.dtype, **(options if kind == "nf4" else {})
        ),
        args=SFTConfig(
            output_dir=str(work.out),
            seed=SEED,
            num_train_epochs=1,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=batch_size // at_once,
            learning_rate=RATE,
            use_cpu=not plan.on_gpu,
            bf16=plan.precision == "bf16",
            gradient_checkpointing=plan.gradient_checkpointing,
            max_length=size.max_seq_length,
            packing=kind == "packed",
            include_num_input_tokens_seen="all" if kind == "packed" else "non_padding",
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            report_to="none",
        ),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(work.base_path),
        peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[Clock()],
    ).train()
    return {
        "tokens_per_second": pace(seen, size),
        "losses": losses,
        "plan": str(plan),
        **about_device(folder / "base", size, kind),
        **device.peaks(),
    }


def about_device(base: Path, size: Size, kind: str) -> Figures:
    """Its name, and what the memory plan expects of it."""
    import torch

    if not torch.cuda.is_available():
        return {"device": "CPU"}
    device = torch.cuda.get_device_properties(0)
    method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters(kind, size)}}
    return {
        "device": device.name,
        "planned_gpu_memory_bytes": planned(base, size, method, device.total_memory),
    }


def pace(seen: list[tuple[float, int]], size: Size) -> float:
    """Tokens a second after the warm steps. seen: moment and tokens so far, after each step."""
    (start, before), (end, after) = seen[size.warm - 1], seen[-1]
    return (after - before) / (end - start)


def report(found: dict[tuple[str, str], list[Figures]], kinds: list[str], size: Size) -> None:
    def middle(kind: str, by: str, name: str) -> float:
        return median(figures[name] for figures in found[kind, by])

    print(f"\n{next(iter(found.values()))[0]['plan']}")
    print(f"{'':14}{'tokens/s':>10}{'lowest':>10}{'highest':>10}{'GPU GiB':>9}{'host GiB':>9}{'first loss':>12}")
    for (kind, by), runs in found.items():
        paces = [run["tokens_per_second"] for run in runs]
        on_gpu = (
            f"{middle(kind, by, 'peak_gpu_memory_bytes') / 2**30:9.2f}"
            if "peak_gpu_memory_bytes" in runs[0]
            else f"{'–':>9}"
        )
        host = middle(kind, by, "peak_memory_bytes") / 2**30
        print(
            f"{kind:7}{by:7}{median(paces):>10,.0f}{min(paces):>10,.0f}{max(paces):>10,.0f}{on_gpu}{host:9.2f}"
            f"{runs[0]['losses'][0]:>12.4f}"
        )

    def ratio(over: tuple[str, str], under: tuple[str, str]) -> float:
        return middle(*over, "tokens_per_second") / middle(*under, "tokens_per_second")

    pairs = {f"{kind}_fettle_over_trl": ((kind, "fettle"), (kind, "trl")) for kind in kinds}
    pairs |= {f"{kind}_over_plain": ((kind, "fettle"), ("plain", "fettle")) for kind in kinds if kind != "plain"}
    ratios = {name: ratio(*pair) for name, pair in pairs.items() if found.keys() >= {*pair}}
    figures: Figures = {name: round(ratio, 2) for name, ratio in ratios.items()}
    for (kind, by), runs in found.items():
        pace = median(run["tokens_per_second"] for run in runs)
        figures[f"{kind}_{by}_tokens_per_second"] = round(pace)
        if (share := utilisation(size, pace, runs[0]["device"])) is not None:
            figures[f"{kind}_{by}_mfu"] = round(share, 3)
        if by == "fettle" and "peak_gpu_memory_bytes" in runs[0]:
            figures[f"{kind}_memory_over_plan"] = round(
                median(run["peak_gpu_memory_bytes"] / run["planned_gpu_memory_bytes"] for run in runs), 2
            )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
