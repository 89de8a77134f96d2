"""The doctor's look at this host: packages, disk, cores, devices, who can read the secrets."""

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from fettle import __version__
from fettle.cli.doctor.result import CheckResult, bad, good, warn
from fettle.host import data_folder, devices
from fettle.rewards.sandbox import SandboxError, level
from fettle.settings import Settings

LOW_DISK = 5 * 2**30
TRAINING_PACKAGES = ("torch", "transformers", "trl", "peft")
PRIVATE = ("secret", "admin.key", "redis.conf", "up.env", "fettle.db")  # under the data folder


async def versions(settings: Settings) -> CheckResult:
    message = f"fettle {__version__}, Python {sys.version.split()[0]}"
    missing = [name for name in TRAINING_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        message += f"; no {', '.join(missing)}"
        return warn("versions", f"{message} → pip install 'fettle[train]' where jobs train or models answer")
    found = [f"{name} {importlib.metadata.version(name)}" for name in TRAINING_PACKAGES]
    return good("versions", ", ".join([message, *found]))


async def disk(settings: Settings) -> CheckResult:
    data_folder.prepare(settings.data)
    free = shutil.disk_usage(settings.data).free
    message = f"{free / 2**30:.0f} GiB free under {settings.data.absolute()}"
    if free <= LOW_DISK:
        return bad(
            "disk", f"{message} → free some space for checkpoints and adapters, or set FETTLE_DATA to another disk"
        )
    return good("disk", message)


async def slots(settings: Settings) -> CheckResult:
    """Which device each of this host's slots has."""
    found = devices.visible()
    places = devices.slots(settings, found)
    message = ", ".join(f"slot {number}: {place}" for number, place in enumerate(places))
    if unused := devices.idle(places, found):
        return warn("slots", f"{message}; idle: GPU {', '.join(unused)} → see FETTLE_SLOTS and FETTLE_GPUS_PER_JOB")
    if found and len(places) * settings.gpus_per_job > len(found):
        return warn("slots", f"{message} → they share {len(found)}: leave FETTLE_SLOTS unset to give each its own")
    return good("slots", message)


async def cores(settings: Settings) -> CheckResult:
    """Greedy thread pools on busy cores train several times slower."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = len(devices.slots(settings, devices.visible()))
    threads = settings.threads or max(1, found // jobs)
    message = f"{found} cores, {jobs} slots of {threads} threads"
    if threads * jobs > found:
        return warn("cores", f"{message} → lower FETTLE_SLOTS or FETTLE_THREADS so that jobs do not share cores")
    return good("cores", message)


async def gpus(settings: Settings) -> CheckResult:
    if not sorted(Path("/dev").glob("nvidia[0-9]*")):
        return good("devices", "no GPU: jobs train and models answer on the CPU")
    query = ["nvidia-smi", "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader"]
    listed = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)  # noqa: ASYNC221 — the doctor may wait
    found = listed.stdout.strip().splitlines()
    if listed.returncode != 0 or not found:
        return bad("devices", f"this host has a GPU, but nvidia-smi fails: {listed.stderr.strip()} → check the driver")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    message = "; ".join(found) + ("" if visible is None else f"; CUDA_VISIBLE_DEVICES={visible}")
    if not devices.visible():
        return warn("devices", f"{message} → none is visible: jobs train on the CPU")
    return good("devices", message)


async def secrets(settings: Settings) -> CheckResult:
    files = [settings.data / name for name in PRIVATE] + [Path(".env")]
    there = [file for file in files if file.is_file()]
    open_ = [file for file in there if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    shielded = not settings.data.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    exposed = [file for file in open_ if not (shielded and file.parent == settings.data)]
    if exposed:
        names = " ".join(str(file) for file in exposed)
        return warn("secrets", f"other users of this host can read {names} → chmod 600 {names}")
    if settings.secret is None and settings.database_url and not settings.database_url.startswith("sqlite"):
        return warn(
            "secrets",
            "FETTLE_SECRET is not set, so each host creates its own → set the same one everywhere, or keys fail",
        )
    return good("secrets", "only their owner can read them" if there else "none on this disk")


async def sandbox(settings: Settings) -> CheckResult:
    """What would hold user code here, tried by starting it."""
    try:
        held = level()
    except SandboxError as error:
        return warn("sandbox", f"{error} Jobs with Python graders or code_tests fail on this worker.")
    try:
        level("javascript")
    except SandboxError as error:
        return good("sandbox", f"{held}; Python only: {error}")
    return good("sandbox", f"{held}; Python and JavaScript")


async def integrations(settings: Settings) -> CheckResult:
    """What jobs may report to can be reported to, from here."""
    enabled = settings.enabled_integrations
    missing = [name for name in enabled if importlib.util.find_spec(name) is None]
    if missing:
        return warn("integrations", f"no package {', '.join(missing)} → pip install 'fettle[integrations]' for workers")
    if "wandb" in enabled and settings.wandb_mode == "online" and settings.wandb_api_key is None:
        return warn("integrations", "wandb has no API key → set FETTLE_WANDB_API_KEY, or FETTLE_WANDB_MODE=offline")
    return good("integrations", ", ".join(enabled) or "none enabled (FETTLE_INTEGRATIONS)")
