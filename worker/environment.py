"""The environment that training children inherit.

A forkserver hands on whatever its parent had, secrets included, and it may be restarted at any time. So the worker
reads its settings and then forgets every variable that a child has no business with.
"""

import os

from fettle.host.devices import Slot

KEPT = {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
KEPT |= {"HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}
KEPT_PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "TRITON_", "TORCH", "PYTORCH_", "XDG_CACHE_")
PROXIES = {"http_proxy", "https_proxy", "no_proxy"}  # kept unless they hold a password


def scrub(threads: int) -> None:
    for name in list(os.environ):
        proxy = name.lower() in PROXIES and "@" not in os.environ[name]
        if name not in KEPT and not name.startswith(KEPT_PREFIXES) and not proxy:
            del os.environ[name]
    # Measured: two greedy thread pools on two busy cores train 9 times slower
    os.environ.update(OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="PASSIVE", TOKENIZERS_PARALLELISM="false")


def choose_devices(slot: Slot) -> None:
    """A training child sees its slot's GPUs and no other: TRL trains on whatever it finds. Before CUDA is touched."""
    if slot.devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(slot.devices)


def threads_per_slot(threads: int | None, slots: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return threads or max(1, cores // slots)
