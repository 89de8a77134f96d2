from typing import Any

from fettle.estimates import memory
from fettle.estimates.estimate import Estimate
from fettle.estimates.memory import Base
from fettle.jobs.planning import Plan
from fettle.jobs.queue_time import Start
from fettle.jobs.workers import Device
from fettle.settings import Settings


def estimate_object(
    model: str,
    plan: Plan,
    found: Estimate,
    sample: dict[str, Any] | None,
    start: Start,
    device: Device | None,
    base: Base | None,
    settings: Settings,
) -> dict[str, Any]:
    """sample: what was counted of the training file; None: the base model's tokenizer is not on this machine."""
    gpus = device.gpus if device else 0
    return {
        "object": "fine_tuning.estimate",
        "model": model,
        "method": {name: value for name, value in plan.method.items() if name != "resolved_from"},
        **found.to_json(settings.price, gpus),
        "phases": [
            {"name": each.name, "steps": each.steps, "tokens": round(each.tokens)}
            | ({"completions": round(each.units)} if each.samples else {})
            for each in found.phases
        ],
        "sample": sample,
        "queue": start.to_json(),
        "memory": memory_object(plan.method, device, base),
    }


def memory_object(method: dict[str, Any], device: Device | None, base: Base | None) -> dict[str, Any]:
    """fits: null where it cannot be told."""
    unknown: dict[str, Any] = {"bytes": None, "available_bytes": None, "fits": None, "knobs": [], "parts": None}
    if base is None:
        return {**unknown, "message": "The base model's config is not on the API server, so memory is not estimated."}
    on_gpu = bool(device and device.gpus)
    available = device.memory if device else None
    cpu_bf16 = bool(device and device.cpu_bf16)
    parts = memory.parts(base, method, on_gpu=on_gpu, available=available, cpu_bf16=cpu_bf16)
    held = {
        name: getattr(parts, name) for name in ("libraries", "weights", "adapter", "activations", "logits", "cache")
    }
    found = {**unknown, "bytes": parts.total, "available_bytes": available, "parts": held}
    need = f"About {memory.shown(parts.total)} are needed"
    if available is None:
        why = "no worker is running" if device is None else "the worker does not know how much its device has"
        return {**found, "message": f"{need}. Whether they fit is not known, because {why}."}
    has = f"the {device.name if device else ''} has {memory.shown(available)}"
    if parts.total <= available:
        how = ", with gradient checkpointing" if parts.checkpointed else ""
        return {**found, "fits": True, "message": f"{need}{how}, and {has}."}
    knobs = memory.knobs(base, method, on_gpu=on_gpu, available=available, cpu_bf16=cpu_bf16)
    listed = [{"parameter": each.parameter, "value": each.value, "bytes": each.total} for each in knobs]
    ways = " or ".join(f"{each.parameter} to {each.value}" for each in knobs)
    way_out = f"Set {ways}." if ways else "No single setting makes it fit. Use a smaller base model or a larger device."
    return {**found, "fits": False, "knobs": listed, "message": f"{need}, but {has}. {way_out}"}
