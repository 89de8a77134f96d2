"""vLLM in the training process, sampling for GRPO and RLOO on a GPU host that has it: whether, and TRL's options.

Not run yet: no GPU was at hand. vLLM draws from a generator of its own, which no checkpoint holds: a resumed run is
sound, but does not repeat what an undisturbed one would have drawn.
"""

import importlib.metadata
import importlib.util
from typing import Any

from packaging.version import Version

OLDEST, NEWEST = Version("0.22.0"), Version("0.31.0")  # that TRL 1.16 supports (`trl.import_utils.is_vllm_available`)
MEMORY = 0.3  # of the GPU's; TRL's default


def version() -> str | None:
    """Of the vLLM that can be imported here."""
    if importlib.util.find_spec("vllm") is None:
        return None
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return None


def supported(version: str | None) -> bool:
    return version is not None and OLDEST <= Version(Version(version).base_version) <= NEWEST


def options(max_seq_length: int, *, on_gpu: bool) -> dict[str, Any]:
    """For GRPOConfig and RLOOConfig; none where TRL could not use vLLM.

    It sleeps while the policy is updated, so that `device.plan`'s sum of memory holds.
    """
    if not on_gpu or not supported(version()):
        return {}
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": MEMORY,
        "vllm_max_model_length": max_seq_length,
        "vllm_enable_sleep_mode": True,
    }
