"""What a run makes of the device it finds: precision, attention, gradient checkpointing. All of it is decided here.

bf16: where the device computes in it, on a CPU only for models that gain from it (fettle/host/cpu.py); it has fp32's
range, so no loss needs scaling. The adapter and the optimizer stay in fp32. Elsewhere fp32, never fp16, whose range the
activations of models trained in bf16 may leave.
attention: torch's own fused kernel (sdpa), which stores no T × T scores either; FlashAttention 2 only where it is
installed and made for the GPU (Ampere, CUDA capability 8.0, or newer).
gradient checkpointing: computes the forward pass twice to keep less of it, about a third more time: only where weights
and activations may not fit.
"""

import gc
import importlib.util
import resource
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import AutoConfig

from fettle.estimates.memory import FITS, NF4_SHRINKS, Load, activations, logits, tokens_at_once
from fettle.host.memory import machine_memory
from fettle.methods import METHODS
from fettle.methods.spec import REWARD_MODEL
from worker.training.process.job_spec import Work

AMPERE = (8, 0)


@dataclass(frozen=True)
class Probe:
    """What the machine says of the device that this process trains on."""

    name: str
    memory: int  # bytes
    bf16: bool
    capability: tuple[int, int] | None = None  # CUDA's; None: a CPU
    flash_attention: bool = False  # the package is installed


@dataclass(frozen=True)
class DevicePlan:
    name: str
    precision: Literal["bf16", "fp32"]
    attention: Literal["sdpa", "flash_attention_2"]
    gradient_checkpointing: bool
    on_gpu: bool

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def __str__(self) -> str:
        checkpointing = "on" if self.gradient_checkpointing else "off"
        return f"{self.name}, {self.precision}, {self.attention}, gradient checkpointing {checkpointing}"


def plan(work: Work, rows_at_once: int) -> DevicePlan:
    """For this process, on the device that it sees."""
    found = probe(work)
    return choose(found, load(work, rows_at_once, on_gpu=found.capability is not None))


def choose(probe: Probe, load: Load) -> DevicePlan:
    on_gpu = probe.capability is not None
    kind: Literal["bf16", "fp32"] = "bf16" if probe.bf16 else "fp32"
    flash = on_gpu and probe.bf16 and probe.flash_attention and (probe.capability or (0, 0)) >= AMPERE
    weights = load.weights / NF4_SHRINKS if load.nf4 else load.weights
    fits = weights + activations(load, kind) + logits(load) <= FITS * probe.memory
    return DevicePlan(probe.name, kind, "flash_attention_2" if flash else "sdpa", not fits, on_gpu)


def load(work: Work, rows_at_once: int, *, on_gpu: bool) -> Load:
    config = AutoConfig.from_pretrained(work.base_path, local_files_only=True, trust_remote_code=False)
    text = config.get_text_config()
    return Load(
        weights=sum(path.stat().st_size for path in work.base_path.glob("*.safetensors")),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        tokens=tokens_at_once(rows_at_once, work.hyperparameters["max_seq_length"], on_gpu),
        nf4=work.hyperparameters.get("quantization") == "nf4",
        vocabulary=0 if METHODS[work.method].kind == REWARD_MODEL else text.vocab_size,
    )


def probe(work: Work) -> Probe:
    if not torch.cuda.is_available():
        return Probe(name="CPU", memory=machine_memory(), bf16=work.cpu_bf16)
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return Probe(
        name=properties.name,
        memory=properties.total_memory,
        bf16=torch.cuda.is_bf16_supported(including_emulation=False),
        capability=(properties.major, properties.minor),
        flash_attention=importlib.util.find_spec("flash_attn") is not None,
    )


def peaks() -> dict[str, int]:
    """Bytes: the most memory that this process has held at a time, on the host and on its GPU."""
    found = {"peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if torch.cuda.is_available():
        found["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated()
    return found


def peaks_sentence(found: dict[str, int]) -> str:
    parts = [f"{found['peak_memory_bytes'] / 2**30:.2f} GiB of the machine's"]
    if "peak_gpu_memory_bytes" in found:
        parts.append(f"{found['peak_gpu_memory_bytes'] / 2**30:.2f} GiB of the GPU's")
    return f"Peak memory: {', '.join(parts)}."


def release() -> None:
    """Gives back what a trainer held: it is a cycle of references."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
